"""Currencies as people write them → their code in ISO 4217."""

from __future__ import annotations

# ISO 4217, active codes (list one); without the codes for metals, funds and testing.
_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR
ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU
UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CODES = frozenset(_CODES.split())

# What else people write, in lower case; `$` and `¥` name several, and are left as they are.
NAMES = {
    "đ": "VND",
    "₫": "VND",
    "vnđ": "VND",
    "đồng": "VND",
    "dong": "VND",
    "việt nam đồng": "VND",
    "us$": "USD",
    "€": "EUR",
    "£": "GBP",
    "฿": "THB",
    "₩": "KRW",
    "₱": "PHP",
    "₹": "INR",
    "៛": "KHR",
    "₭": "LAK",
    "rp": "IDR",
    "rm": "MYR",
    "s$": "SGD",
    "a$": "AUD",
    "hk$": "HKD",
    "nt$": "TWD",
}


def code_of(written: str) -> str | None:
    """The code of a currency; None for what names none, or could be several."""
    if written in CODES:
        return written
    text = written.strip()
    code = text.upper()
    return code if code in CODES else NAMES.get(text.lower())
