"""FOCUS 1.2: what the tests ask of a charge on any machine; and `make focus`, which asks the FinOps validator itself.

The validator (focus-validator 2.2.1) needs Python 3.12 and an older pyarrow, so it lives in an environment of its own.
Its exit code is 0 whatever it found: its total and its list of failures are read instead.
"""

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from migrations.run import upgrade
from models.accounting.exports import FOCUS
from models.accounting.spending import Spending
from producer.output.export_file import FORMATS, write
from tests.support.ledgers.six_weeks import billed
from tests.support.servers.fixtures import opened


def _words(text: str) -> list[str]:
    return text.split()


COLUMNS = _words("""
    AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency
    BillingPeriodEnd BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass
    ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory
    CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus
    CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice
    EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice PricingCategory PricingCurrency
    PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity
    PricingUnit ProviderName PublisherName RegionId RegionName ResourceId ResourceName ResourceType ServiceCategory
    ServiceName ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName
    SubAccountType Tags
""")
NEVER_NULL = _words("""
    BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency BillingPeriodEnd
    BillingPeriodStart ChargeCategory ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart
    ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceIssuerName ListCost
    ListUnitPrice PricingCategory PricingCurrency PricingQuantity PricingUnit ProviderName PublisherName
    ServiceCategory ServiceName ServiceSubcategory SkuId SkuMeter SkuPriceId Tags
""")
ALLOWED: Mapping[str, tuple[str | None, ...]] = {
    "BillingCurrency": ("USD",),
    "ChargeCategory": ("Usage",),
    "ChargeClass": (None,),
    "ChargeFrequency": ("Usage-Based",),
    "ConsumedUnit": ("Tokens", "Searches", "Requests"),
    "InvoiceId": (None,),
    "PricingCategory": ("Standard",),
    "PricingCurrency": ("USD",),
    "PricingUnit": ("1000000 Tokens", "1000 Searches", "Requests"),
    "ServiceCategory": ("AI and Machine Learning",),
    "ServiceSubcategory": ("Generative AI",),
}
# An invoice's number is not known where the usage is: nobody but the invoice's issuer can fill it in.
INHERENT = {"InvoiceId-C-005-C"}

_ROOT = Path(__file__).parents[1]
_HOME = _ROOT / ".stepdown" / "focus"
_NEEDS = ("focus-validator==2.2.1", "pyarrow<22")
_APPLIES = (
    "ACCOUNT_NAMING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "TAGGING_SUPPORTED",
)
_TOTAL = re.compile(r"^Total: \d+ \| Pass: (\d+) \| Fail: (\d+) .*$", re.MULTILINE)
_FAILURE = re.compile(r"^- ([\w-]+): violations=", re.MULTILINE)


def main() -> int:
    """Validate the export of a made ledger in both formats; 1 where anything but the inherent failures is found."""
    python = _validators_python()
    verdicts = []
    with TemporaryDirectory() as folder, opened(f"sqlite:///{folder}/ledger.db") as engine:
        upgrade(engine)
        random.seed(7)
        billed(engine)
        for name in FORMATS:
            path = Path(folder) / f"focus.{name}"
            write(Spending(engine).rows(FOCUS), FOCUS.fields, path=path, format=name)
            verdicts.append(_validated(python, path))
    return 0 if all(verdicts) else 1


def _validators_python() -> Path:
    python = _HOME / "bin" / "python"
    if not python.exists():
        found = next(_pythons(), None)
        if found is None:
            sys.exit("make focus needs Python 3.12, on the PATH or under ~/.pyenv: its validator runs on no other")
        subprocess.run([found, "-m", "venv", _HOME], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *_NEEDS], check=True)
    return python


def _pythons() -> Iterator[str]:
    named = shutil.which("python3.12")
    for python in [*([named] if named else []), *map(str, Path.home().glob(".pyenv/versions/3.12*/bin/python3.12"))]:
        # pyenv's shim is on the PATH whether or not it leads anywhere
        asked = subprocess.run([python, "-c", "import venv"], check=False, capture_output=True)
        if asked.returncode == 0:
            yield python


def _validated(python: Path, path: Path) -> bool:
    command = [str(python.with_name("focus-validator")), "--validate-version", "1.2", "--block-download"]
    command += ["--applicability-criteria", ",".join(_APPLIES), "--data-file", str(path)]
    packages = next(_HOME.glob("lib/python3.*/site-packages"))  # it looks for its lists in the working folder
    message = subprocess.run(command, check=False, cwd=packages, capture_output=True, text=True).stdout
    total, failures = _TOTAL.search(message), set(_FAILURE.findall(message))
    is_right = total is not None and int(total[1]) > 0 and failures == INHERENT and int(total[2]) == len(INHERENT)
    sys.stdout.write(f"{path.name}: {total[0] if total else message[-2000:]}\n")
    sys.stdout.writelines(f"  {'inherent' if name in INHERENT else 'FAILED'}: {name}\n" for name in sorted(failures))
    return is_right


if __name__ == "__main__":
    sys.exit(main())
