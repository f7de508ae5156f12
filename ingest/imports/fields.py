"""The fields that columns can mean, and what people call them, in Vietnamese and English.

A name is compared folded (`fold`): without diacritics, case, signs and what stands in brackets, its abbreviations
written out. Add a spelling by adding it here; `tests/ingest/imports/test_fields.py` holds a table of real headings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

Kind = Literal["customers", "orders", "events"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Type = Literal["text", "telephone", "email", "number", "day", "time", "gender", "any"]

SKIP = "skip"
FREE = re.compile(r"(traits|properties)\.\S(.{0,190}\S)?")


class Known(NamedTuple):
    """A field: how its cells are read, and folded names."""

    type: Type
    names: tuple[str, ...]


def _known(type_: Type, names: str) -> Known:
    return Known(type_, tuple(name.strip() for name in names.split("|") if name.strip()))


# Who a row is about: in every kind of file.
WHO = {
    "user_id": _known(
        "text",
        "ma khach hang|ma khach|ma so khach hang|so khach hang|id khach hang|khach hang id"
        "|ma nguoi dung|ma thanh vien|customer id|customer code|customer number|customer no|client id"
        "|client code|user id|userid|account id|account|account number|tai khoan|uid|contact id"
        "|member id|buyer id|ma nguoi mua|ma tai khoan",
    ),
    "email": _known(
        "email",
        "email|e mail|thu dien tu|dia chi email|email khach hang|email address|mail|gmail|hom thu"
        "|customer email|contact email|email nguoi mua|billing email|hop thu",
    ),
    "phone": _known(
        "telephone",
        "so dien thoai|dien thoai|di dong|so di dong|dien thoai di dong|dtdd|so dtdd|so may|phone"
        "|phone number|mobile|mobile phone|mobile number|tel|telephone|cell|cell phone|hotline khach"
        "|so lien he|so lien lac|lien he|lien lac|dien thoai lien he|so dien thoai lien he"
        "|so dien thoai khach hang|dien thoai khach hang|customer phone|contact phone|contact number"
        "|so dien thoai nguoi nhan|dien thoai nguoi nhan|so dien thoai nguoi mua|phone 1|dien thoai 1"
        "|so dien thoai 1|so dien thoai chinh|whatsapp|billing phone",
    ),
    "crm_id": _known(
        "text",
        "crm id|crmid|ma crm|crm code|id crm",
    ),
    "loyalty_card": _known(
        "text",
        "the thanh vien|ma the thanh vien|so the thanh vien|ma the|so the|ma the vip|so the vip"
        "|the vip|the tich diem|ma the tich diem|so the tich diem|loyalty card|loyalty id"
        "|loyalty number|member card|card number|card no|membership number|membership card"
        "|membership id",
    ),
    "zalo_id": _known(
        "text",
        "zalo id|zalo uid|zalo user id|id zalo|uid zalo|zalo user",
    ),
    "anonymous_id": _known(
        "text",
        "anonymous id|anonymousid|device id|ma thiet bi|cookie id|visitor id|session id",
    ),
    "name": _known(
        "text",
        "ho ten|ho va ten|ho ten khach hang|ho va ten khach hang|ten khach hang|ten khach|ten day du"
        "|khach hang|ten nguoi mua|nguoi mua|ten nguoi nhan|nguoi nhan|nguoi nhan hang|ten lien he"
        "|full name|fullname|customer name|customer|name|contact name|buyer name|recipient name"
        "|client name|ten thanh vien|quy danh|ten nguoi dat|nguoi dat",
    ),
}
# What a row says of a person, beside who it is.
ABOUT = {
    "first_name": _known(
        "text",
        "ten goi|first name|firstname|given name|ten rieng",
    ),
    "last_name": _known(
        "text",
        "ho|ho dem|ho va ten dem|last name|lastname|surname|family name|ho lot|ho va ten lot",
    ),
    "birthday": _known(
        "day",
        "ngay sinh|sinh nhat|ngay thang nam sinh|ngay sinh nhat|ngay sinh khach hang|birthday"
        "|birth date|birthdate|date of birth|dob|ngay thang sinh|sinh ngay",
    ),
    "gender": _known(
        "gender",
        "gioi tinh|phai|gender|sex|nam nu|gioi",
    ),
    "company": _known(
        "text",
        "cong ty|ten cong ty|to chuc|doanh nghiep|company|company name|organization|organisation|don vi",
    ),
}
PLACE = {
    "address": _known(
        "text",
        "dia chi|d c|dia chi nha|so nha|dia chi khach hang|dia chi lien he|dia chi giao hang"
        "|dia chi nhan hang|duong|dia chi nguoi nhan|address|address 1|street|street address"
        "|shipping address|address line 1|noi o|cho o|dia chi thuong tru|dia chi cu the"
        "|dia chi chi tiet|so nha ten duong|billing address|delivery address",
    ),
    "ward": _known(
        "text",
        "phuong xa|phuong|xa|xa phuong|phuong xa thi tran|ward|thi tran|commune",
    ),
    "district": _known(
        "text",
        "quan huyen|quan|huyen|huyen quan|quan huyen thi xa|district|thi xa|khu vuc quan huyen",
    ),
    "province": _known(
        "text",
        "tinh thanh pho|tinh thanh|tinh|thanh pho|thanh pho tinh|province|state|city|region"
        "|tinh thanh pho giao hang|city province|khu vuc|province city|noi song",
    ),
    "postal_code": _known(
        "text",
        "ma buu chinh|ma buu dien|postal code|postcode|zip|zip code|zipcode",
    ),
    "country": _known(
        "text",
        "quoc gia|nuoc|country|country code|quoc tich",
    ),
}
CUSTOMER = {
    "created_at": _known(
        "time",
        "ngay tao|ngay dang ky|ngay tham gia|ngay lap|ngay gia nhap|thoi gian tao|created at|created"
        "|create date|created date|date created|registered at|registration date|signup date"
        "|sign up date|joined at|customer since|ngay tro thanh khach|date joined|ngay tao khach hang"
        "|ngay vao",
    ),
    "updated_at": _known(
        "time",
        "ngay cap nhat|ngay sua|cap nhat|cap nhat lan cuoi|lan cap nhat cuoi|updated at|updated"
        "|last updated|modified|last modified|modified at|thoi gian cap nhat|ngay thay doi"
        "|update date",
    ),
    "tags": _known(
        "text",
        "nhan|tag|tags|label|labels|the|phan loai",
    ),
    "note": _known(
        "text",
        "ghi chu|chu thich|note|notes|comment|comments|mo ta|ghi chu khach hang|remark|remarks|luu y",
    ),
}
ORDER = {
    "order_id": _known(
        "text",
        "ma don hang|ma don|so don hang|so hoa don|ma hoa don|so don|id don hang|don hang|hoa don"
        "|so chung tu|ma chung tu|so phieu|order id|orderid|order number|order no|order code|order"
        "|invoice|invoice id|invoice number|invoice no|transaction id|receipt|receipt number|bill"
        "|bill number|ma giao dich|don hang id|ma van don hang|order name|ma dat hang|so bill|ma bill"
        "|ma phieu",
    ),
    "at": _known(
        "time",
        "ngay dat|ngay dat hang|ngay mua|ngay mua hang|ngay ban|ngay hoa don|ngay don hang"
        "|ngay tao don|ngay tao|ngay|thoi gian|thoi gian dat|thoi gian dat hang|thoi gian mua"
        "|thoi gian ban|ngay gio|ngay chung tu|ngay giao dich|ngay lap|ngay thanh toan|ngay dat don"
        "|thoi gian tao|thoi gian tao don|ngay hoan thanh|ngay gio dat|ngay ban hang|order date"
        "|ordered at|order time|date|time|datetime|timestamp|created at|purchase date|purchased at"
        "|sale date|invoice date|transaction date|completed at|paid at|order created at|date created"
        "|thoi diem|gio dat|created time|ngay phat sinh|thoi gian giao dich|thoi gian thanh toan",
    ),
    "total": _known(
        "number",
        "tong tien|tong cong|tong gia tri|tong gia tri don hang|tong thanh toan|tong tien thanh toan"
        "|tong tien hang|khach phai tra|khach can tra|khach tra|so tien|gia tri don hang|gia tri"
        "|tong don hang|tong tien don hang|tong|phai thu|doanh thu|doanh so|khach thanh toan"
        "|can thanh toan|tong hoa don|tong tien sau giam|total|grand total|order total|total amount"
        "|amount|total price|order value|order amount|sum|total paid|paid amount|tien thanh toan"
        "|tong gia tri hoa don|so tien thanh toan|tri gia",
    ),
    "revenue": _known(
        "number",
        "revenue|doanh thu thuan|doanh thu rong|net sales|net revenue|net amount",
    ),
    "subtotal": _known(
        "number",
        "tam tinh|tien hang|tong tien hang truoc giam|subtotal|sub total|cong tien hang",
    ),
    "shipping": _known(
        "number",
        "phi van chuyen|phi ship|phi giao hang|cuoc phi|tien ship|shipping|shipping fee|delivery fee|ship|freight",
    ),
    "tax": _known(
        "number",
        "thue|tien thue|vat|thue gtgt|thue vat|tax|tax amount",
    ),
    "discount": _known(
        "number",
        "giam gia|chiet khau|khuyen mai|tien giam gia|giam gia hoa don|discount|discount amount"
        "|giam gia don hang|tien giam",
    ),
    "currency": _known(
        "text",
        "tien te|loai tien|don vi tien|don vi tien te|currency|currency code|ma tien te",
    ),
    "coupon": _known(
        "text",
        "ma giam gia|ma khuyen mai|voucher|coupon|coupon code|discount code|ma voucher|promo code",
    ),
    "status": _known(
        "text",
        "trang thai|trang thai don hang|tinh trang|tinh trang don hang|trang thai don"
        "|trang thai thanh toan|status|order status|state order|fulfillment status|financial status"
        "|trang thai giao hang|payment status",
    ),
    "payment_method": _known(
        "text",
        "phuong thuc thanh toan|hinh thuc thanh toan|thanh toan|thanh toan bang|payment method"
        "|payment type|payment|pttt|httt",
    ),
    "product_id": _known(
        "text",
        "ma san pham|ma hang|ma hang hoa|product id|product code|item id|item code|id san pham|ma mat hang",
    ),
    "sku": _known(
        "text",
        "sku|ma sku|barcode|ma vach|ma phan loai|sku san pham|product sku",
    ),
    "product_name": _known(
        "text",
        "san pham|ten san pham|ten hang|ten hang hoa|hang hoa|mat hang|ten mat hang|product"
        "|product name|item|item name|lineitem name|line item|products|items|noi dung|dien giai"
        "|ten mon|mon",
    ),
    "quantity": _known(
        "number",
        "so luong|so luong san pham|so luong ban|qty|quantity|lineitem quantity|units",
    ),
    "price": _known(
        "number",
        "don gia|gia|gia ban|gia san pham|price|unit price|item price|lineitem price|gia goc|gia tien|don gia ban",
    ),
    "line_total": _known(
        "number",
        "thanh tien|thanh tien san pham|line total|line amount|tien|amount line|extended price",
    ),
    "category": _known(
        "text",
        "nhom hang|danh muc|loai hang|nganh hang|category|product category|nhom san pham|loai san pham",
    ),
    "note": CUSTOMER["note"],
}
EVENT = {
    "event": _known(
        "text",
        "su kien|ten su kien|hanh dong|hoat dong|event|event name|action|activity|loai su kien|event type|thao tac",
    ),
    "at": ORDER["at"]._replace(
        names=(*ORDER["at"].names, "event time", "occurred at", "thoi gian su kien", "ngay su kien", "happened at")
    ),
    "message_id": _known(
        "text",
        "ma su kien|event id|eventid|message id|messageid|id su kien",
    ),
    "properties": _known(
        "any",
        "properties",
    ),
}
FIELDS: dict[str, dict[str, Known]] = {
    "customers": WHO | ABOUT | PLACE | CUSTOMER,
    "orders": WHO | ORDER | PLACE,
    "events": WHO | EVENT,
}
# Any one of these says whose a row is; the strongest first, as identity resolution ranks them.
IDENTIFYING = ("user_id", "crm_id", "loyalty_card", "email", "phone", "zalo_id", "anonymous_id")
# Names that mean something only in a file of that kind.
SHORT = {
    "customers": {
        "ma": "user_id",
        "ten": "name",
        "id": "user_id",
        "zalo": "phone",
        "code": "user_id",
        "ma so": "user_id",
    },
    "orders": {
        "ma": "order_id",
        "ten": "name",
        "id": "order_id",
        "zalo": "phone",
        "code": "order_id",
        "so": "order_id",
    },
    "events": {"ten": "event", "id": "message_id", "name": "event", "zalo": "phone", "type": "event", "loai": "event"},
}
# Columns that say nothing about anybody.
EMPTY_NAMES = frozenset({"stt", "so thu tu", "no", "nr", "index", "row", "tt", "unnamed", "so tt", "row number", ""})

# Abbreviations, a word each, and what they stand for.
WORDS = {
    "kh": "khach hang",
    "sdt": "so dien thoai",
    "dt": "dien thoai",
    "đt": "dien thoai",
    "dc": "dia chi",
    "tp": "thanh pho",
    "ns": "ngay sinh",
    "sp": "san pham",
    "sl": "so luong",
    "hd": "hoa don",
    "dh": "don hang",
    "sn": "sinh nhat",
    "gt": "gioi tinh",
    "hh": "hang hoa",
    "ngsinh": "ngay sinh",
    "hoten": "ho ten",
    "makh": "ma khach hang",
    "tenkh": "ten khach hang",
    "diachi": "dia chi",
    "dienthoai": "dien thoai",
    "sodienthoai": "so dien thoai",
    "ngaysinh": "ngay sinh",
    "gioitinh": "gioi tinh",
    "tinhthanh": "tinh thanh",
    "madonhang": "ma don hang",
    "madon": "ma don",
    "mahd": "ma hoa don",
    "sohd": "so hoa don",
    "masp": "ma san pham",
    "tensp": "ten san pham",
    "soluong": "so luong",
    "dongia": "don gia",
    "thanhtien": "thanh tien",
    "tongtien": "tong tien",
    "ngaydat": "ngay dat",
    "trangthai": "trang thai",
    "ghichu": "ghi chu",
    "tg": "thoi gian",
}
BRACKETS = re.compile(r"[(\[{].*?[)\]}]")
NOT_WORDS = re.compile(r"[^a-z0-9]+")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_field(name: str, kind: str) -> bool:
    """Whether a column may mean this, in a file of this kind ("": of any)."""
    kinds = [kind] if kind else list(KINDS)
    return name == SKIP or FREE.fullmatch(name) is not None or any(name in FIELDS[each] for each in kinds)


def fold(name: str) -> str:
    """A column's name as names are compared: `Số ĐT (*)` → `so dien thoai`."""
    bare = BRACKETS.sub(" ", name) if BRACKETS.sub("", name).strip(" *:") else name
    return " ".join(WORDS.get(word, word) for word in plain_words(CAMEL.sub(" ", bare)))


def plain_words(name: str) -> list[str]:
    """The words of a name, without diacritics and signs."""
    decomposed = unicodedata.normalize("NFD", name.lower().replace("đ", "d"))
    bare = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return NOT_WORDS.sub(" ", bare).split()


def slug(name: str) -> str:
    """A column's name as the name of a trait or a property: `Hạng thẻ` → `hang_the`."""
    return "_".join(plain_words(name))[:100] or "column"


def names_of(kind: str) -> Iterable[tuple[str, str]]:
    """Each folded name with its field, the fields in their order."""
    for field, known in FIELDS[kind].items():
        for name in known.names:
            yield name, field
