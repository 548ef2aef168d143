#!/bin/sh
# A day's articles summarized: nightly.sh FOLDER [DAY]. Run again for the same day, it buys nothing twice.
# Its exit code is submit's: 0 all succeeded, 1 some failed, 3 stopped at the cap, 4 broker or ledger unreachable.
set -eu
cd "$1"
day=${2:-$(date -u +%Y-%m-%d)}
code=0
stepdown submit "articles-$day.csv" --template "Summarize: {title}. {text}" --id-column id --task summarize \
  --name "nightly/$day" --key "nightly/$day" --max-cost 5 --watch >"batch-$day" || code=$?
# What there is, is kept, whatever became of the rest.
[ -s "batch-$day" ] && stepdown results "$(cat "batch-$day")" --format csv -o "summaries-$day.csv"
exit $code
