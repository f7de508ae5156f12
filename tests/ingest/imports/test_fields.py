"""Tests of what people call their columns: headings of real exports, Vietnamese and English."""

from __future__ import annotations

import pytest

from ingest.imports.columns import by_name
from ingest.imports.fields import FIELDS, KINDS, fold, slug

CUSTOMERS = {
    "user_id": "Mã KH|Mã khách hàng|MÃ KHÁCH HÀNG|ma_khach_hang|MaKH|Customer ID|customerId|Mã|ID|Mã số khách hàng",
    "name": "Họ tên|Họ và tên|HỌ TÊN|Tên khách hàng|Tên KH|Khách hàng|ho ten|Full Name|Customer name|"
    "Tên|hoten|Họ & tên (*)",
    "phone": "SĐT|Số ĐT|sdt|Số điện thoại|Số Điện Thoại|Điện thoại|ĐT|Di động|ĐTDĐ|Mobile|Phone Number|phone|Zalo|Tel.|"
    "Số điện thoại khách hàng|Điện thoại 1|Phone 1|so_dien_thoai|Số di động|Số liên hệ",
    "email": "Email|E-mail|Thư điện tử|Địa chỉ email|email_address|EMAIL KH",
    "birthday": "Ngày sinh|Sinh nhật|NS|Ngày sinh (dd/mm/yyyy)|DOB|Date of birth|birthday|Ngày tháng năm sinh",
    "gender": "Giới tính|GT|Gender|Phái",
    "address": "Địa chỉ|Đ/c|ĐC|Address|Số nhà, tên đường|Địa chỉ khách hàng|Street",
    "ward": "Phường/Xã|Phường|Xã/Phường|Phường xã|Ward",
    "district": "Quận/Huyện|Quận|Huyện|quan_huyen|District",
    "province": "Tỉnh/Thành|Tỉnh/TP|Tỉnh thành phố|Tỉnh/Thành phố|Thành phố|TP|Province|City|Khu vực",
    "loyalty_card": "Thẻ thành viên|Mã thẻ|Số thẻ|Mã thẻ thành viên|Số thẻ VIP|Loyalty card|Card number",
    "company": "Công ty|Tên công ty|Company",
    "created_at": "Ngày tạo|Ngày đăng ký|Created at|createdAt|Ngày tham gia",
    "updated_at": "Ngày cập nhật|Updated at|Last updated",
    "note": "Ghi chú|Note|GHI CHÚ",
    "skip": "STT|Số thứ tự|No.|#",
}
ORDERS = {
    "order_id": "Mã đơn hàng|Mã đơn|Mã ĐH|Số hóa đơn|Mã hóa đơn|Mã HD|Order ID|order_number|Số đơn hàng|Invoice No",
    "at": "Ngày đặt|Ngày đặt hàng|Ngày mua|Thời gian|Ngày bán|Thời gian tạo|Order date|Created at|"
    "Ngày|Ngày giờ|Ngày tạo đơn",
    "total": "Tổng tiền|Tổng cộng|Khách cần trả|Tổng thanh toán|Tổng tiền (VNĐ)|Total|Grand Total|"
    "Tổng giá trị đơn hàng|Số tiền|Khách phải trả",
    "status": "Trạng thái|Trạng thái đơn hàng|Tình trạng|Status|Order status",
    "product_name": "Sản phẩm|Tên sản phẩm|Tên SP|Tên hàng|Hàng hóa|Product name|Mặt hàng",
    "product_id": "Mã sản phẩm|Mã SP|Mã hàng|Product ID",
    "quantity": "Số lượng|SL|Qty|Quantity",
    "price": "Đơn giá|Giá bán|Price|Unit price",
    "line_total": "Thành tiền|Line total",
    "discount": "Giảm giá|Chiết khấu|Discount",
    "shipping": "Phí vận chuyển|Phí ship|Shipping fee",
    "payment_method": "Phương thức thanh toán|PTTT|Payment method",
    "user_id": "Mã KH|Mã khách hàng|Customer ID",
    "name": "Khách hàng|Tên khách hàng|Người nhận|Người mua",
    "phone": "SĐT|Điện thoại|SĐT người nhận|Số điện thoại người nhận",
    "note": "Ghi chú",
    "address": "Địa chỉ giao hàng|Địa chỉ",
}
EVENTS = {
    "event": "Sự kiện|Tên sự kiện|Event|event_name|Hành động|Action",
    "at": "Thời gian|timestamp|Event time|Ngày|occurred_at",
    "user_id": "Mã KH|userId|user_id",
    "message_id": "Event ID|messageId",
    "anonymous_id": "anonymousId|anonymous_id",
}
HEADINGS = [
    (kind, heading, field)
    for kind, table in zip(KINDS, (CUSTOMERS, ORDERS, EVENTS), strict=True)
    for field, headings in table.items()
    for heading in headings.split("|")
]


@pytest.mark.parametrize(("kind", "heading", "field"), HEADINGS)
def test_a_heading_means_its_field(kind: str, heading: str, field: str) -> None:
    """Whatever its diacritics, case, spacing, signs and abbreviations."""
    found, confidence, reason = by_name(heading, kind)  # type: ignore[arg-type]

    assert (found, confidence > 0.6, bool(reason)) == (field, True, True)


@pytest.mark.parametrize(
    "heading", ["Hạng thẻ", "Tổng chi tiêu", "Nhân viên", "Favourite colour", "Cân nặng", "Size áo"]
)
def test_an_unknown_heading_is_no_field(heading: str) -> None:
    """It is kept as it is instead."""
    assert by_name(heading, "customers")[0] == ""


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_means_two_fields(kind: str) -> None:
    """Within a kind of file."""
    owners: dict[str, set[str]] = {}
    for field, known in FIELDS[kind].items():
        for name in known.names:
            owners.setdefault(name, set()).add(field)

    assert {name: fields for name, fields in owners.items() if len(fields) > 1} == {}


def test_names_are_written_folded() -> None:
    """So that a spelling that is added is found."""
    names = {name for fields in FIELDS.values() for known in fields.values() for name in known.names}

    assert {name for name in names if fold(name) != name} == set()


def test_an_unknown_column_gets_a_name_for_machines() -> None:
    """In ASCII, its words joined."""
    assert slug("Hạng thẻ (VIP)") == "hang_the_vip"
    assert slug("***") == "column"
