# The lock file first, so that a change of code does not install everything again.
FROM python:3.12-slim AS build
COPY requirements.lock /build/
RUN python -m venv /opt/stepdown \
 && /opt/stepdown/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /build/requirements.lock
COPY . /build/
RUN /opt/stepdown/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /build

FROM python:3.12-slim
COPY --from=build /opt/stepdown /opt/stepdown
ENV PATH=/opt/stepdown/bin:$PATH PYTHONUNBUFFERED=1
# A named volume begins with the owner that its folder has here.
RUN useradd --system --create-home stepdown && install -d -o stepdown -g stepdown /var/lib/stepdown
ENV STATE_DIR=/var/lib/stepdown
USER stepdown
WORKDIR /home/stepdown
ENTRYPOINT ["stepdown"]
CMD ["--help"]
