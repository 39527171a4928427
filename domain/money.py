"""Money is an integer of minor units with its currency; rates are basis points. Never a float.

Two rules of rounding, each used in one place only: a *rate* rounds half up, and a *split* goes by largest remainder,
so that the parts always sum to the whole.
"""

from collections.abc import Sequence
from typing import Final

from domain.values import frozen

BPS: Final = 10_000
MAX_MINOR: Final = 2**53 - 1
"""The largest amount: what every JSON reader can hold exactly (RFC 8259, section 6)."""

DECIMALS: Final = {
    code: decimals
    for decimals, codes in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        2: (
            "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
            "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD "
            "HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT "
            "MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR "
            "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU "
            "UZS VED VES WST XCD YER ZAR ZMW ZWG"
        ),
        3: "BHD IQD JOD KWD LYD OMR TND",
    }.items()
    for code in codes.split()
}
"""Decimals of each ISO 4217 currency (its minor unit's exponent)."""


@frozen
class Money:
    """An amount in minor units of a currency: ``Money(1999, "EUR")`` is 19.99 euro."""

    amount_minor: int
    currency: str


def percent(amount_minor: int, rate_bps: int) -> int:
    """Return a rate of an amount, rounded half up: 12.5 % of 0.60 is 0.08."""
    return (amount_minor * rate_bps + BPS // 2) // BPS


def split(amount_minor: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Share an amount by weights, by largest remainder; ties go to the earlier weight.

    The parts sum to the amount exactly (A. Hamilton's method). Weights are not negative and not all zero.
    """
    if len(weights) == 1:  # nearly always: one host, one line
        return (amount_minor,)
    total = sum(weights)
    parts = [amount_minor * weight // total for weight in weights]
    left = amount_minor - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: -(amount_minor * weights[i] % total))
    for i in by_remainder[:left]:
        parts[i] += 1
    return tuple(parts)


def portion(amount_minor: int, part: int, whole: int) -> int:
    """Return the price of ``part`` of ``whole`` units that cost ``amount_minor`` together, rounded down.

    Always computed from the whole, so that parts given up one after another end exactly where all at once would.
    """
    return amount_minor * part // whole


def formatted(amount_minor: int, currency: str) -> str:
    """Write an amount for people: ``1,234.50 GBP``."""
    decimals = DECIMALS.get(currency, 2)
    whole, part = divmod(abs(amount_minor), 10**decimals)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole:,}{f'.{part:0{decimals}d}' if decimals else ''} {currency}"
