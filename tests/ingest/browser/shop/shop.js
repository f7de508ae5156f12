// A small shop: an application that changes its route, with a cart, an account and a banner that asks.
const PRODUCTS = [
  { sku: "AD-01", name: "Áo dài lụa tơ tằm", category: "ao-dai", price: 1850000, cloth: "linear-gradient(135deg, #7a1f3d, #d98aa4)" },
  { sku: "AD-02", name: "Áo dài cách tân", category: "ao-dai", price: 1290000, cloth: "linear-gradient(135deg, #1f4d7a, #8ab6d9)" },
  { sku: "AD-03", name: "Áo dài cưới đỏ", category: "ao-dai", price: 3400000, cloth: "linear-gradient(135deg, #8c1212, #e0a33a)" },
  { sku: "KL-01", name: "Khăn lụa vẽ sen", category: "khan-lua", price: 420000, cloth: "linear-gradient(135deg, #2f6b4f, #c9e3b4)" },
  { sku: "KL-02", name: "Khăn lụa trơn", category: "khan-lua", price: 290000, cloth: "linear-gradient(135deg, #5b4b8a, #d7c9f2)" },
];
const TITLES = { "": "Lụa Hà Đông", "ao-dai": "Áo dài", "khan-lua": "Khăn lụa", "gio-hang": "Giỏ hàng", "tai-khoan": "Tài khoản", "cam-on": "Cảm ơn" };
const base = "/" + location.pathname.split("/")[1];
const $ = (id) => document.getElementById(id);
const money = (amount) => amount.toLocaleString("vi-VN") + " ₫";
let cart = [];

function go(route) {
  history.pushState({}, "", base + (route && "/" + route));
  show();
}

function show() {
  const route = location.pathname.slice(base.length + 1);
  document.title = TITLES[route] || TITLES[""];
  document.querySelectorAll("nav a").forEach((a) => a.toggleAttribute("aria-current", a.dataset.route === route));
  const page = { "gio-hang": basket, "tai-khoan": account, "cam-on": thanks }[route] || shelf;
  $("main").replaceChildren(...page(route));
  $("count").textContent = cart.length;
  $("account").textContent = cdp.user && cdp.user().id() ? "Chào " + cdp.user().id() : "Đăng nhập";
}

function made(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function shelf(route) {
  const shown = PRODUCTS.filter((product) => !route || product.category === route);
  cdp.track("Product List Viewed", { category: route || "all", products: shown.map(({ sku }) => ({ sku })) });
  return [made("h1", { textContent: document.title }), made("div", { className: "grid" }, ...shown.map(card))];
}

function card(product) {
  const cloth = made("div", { className: "cloth" });
  cloth.style.background = product.cloth;
  const add = made("button", { textContent: "Thêm vào giỏ", id: product.sku });
  add.onclick = () => {
    cart.push(product);
    cdp.track("Product Added", { sku: product.sku, name: product.name, price: product.price, currency: "VND" });
    $("count").textContent = cart.length;
  };
  const price = made("p", { className: "price", textContent: money(product.price) });
  return made("article", { className: "card" }, cloth, made("div", {}, made("strong", { textContent: product.name }), price, add));
}

function basket() {
  const total = cart.reduce((sum, product) => sum + product.price, 0);
  const rows = cart.map((product) => made("tr", {}, made("td", { textContent: product.name }), made("td", { textContent: money(product.price) })));
  const order = made("button", { textContent: "Đặt hàng", id: "order", disabled: !cart.length });
  order.onclick = () => {
    const products = cart.map(({ sku, price }) => ({ sku, price, quantity: 1 }));
    cdp.track("Order Completed", { order_id: "DH-1", total, currency: "VND", products });
    cart = [];
    go("cam-on");
  };
  const sum = made("tr", {}, made("td", { textContent: "Tổng cộng" }), made("td", { textContent: money(total) }));
  return [made("h1", { textContent: "Giỏ hàng" }), made("table", {}, ...rows, sum), order];
}

function account() {
  if (cdp.user && cdp.user().id()) {
    const leave = made("button", { textContent: "Đăng xuất", id: "leave" });
    leave.onclick = () => { cdp.reset(); show(); };
    return [made("h1", { textContent: "Chào " + cdp.user().id() }), leave];
  }
  const form = made("form", {},
    made("input", { name: "name", placeholder: "Họ tên", required: true }),
    made("input", { name: "phone", placeholder: "Số điện thoại", required: true }),
    made("input", { name: "email", placeholder: "Email", type: "email" }),
    made("button", { textContent: "Đăng nhập" }));
  form.onsubmit = (event) => {
    event.preventDefault();
    const { name, phone, email } = Object.fromEntries(new FormData(form));
    cdp.identify("kh-" + phone.replace(/\D/g, "").slice(-4), { name, phone, email });
    go("");
  };
  return [made("h1", { textContent: "Đăng nhập" }), form];
}

function thanks() {
  return [made("h1", { textContent: "Cảm ơn bạn đã đặt hàng!" }), made("p", { textContent: "Chúng tôi sẽ gọi cho bạn trong hôm nay." })];
}

function decide(answer) {
  cdp.consent(answer);
  $("banner").hidden = true;
  tell();
}

function tell() {
  const { mode, decision } = cdp.consent();
  $("banner").hidden = decision !== undefined;
  $("state").textContent = { granted: "đang ghi nhận", wait: "chờ bạn quyết định", denied: "không ghi nhận", anonymous: "ẩn danh" }[mode];
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-route]");
  if (!link) return;
  event.preventDefault();
  go(link.dataset.route);
});
addEventListener("popstate", show);
$("all").onclick = () => decide({ Analytics: true, Advertising: true });
$("some").onclick = () => decide({ Analytics: true, Advertising: false });
$("none").onclick = () => decide(false);
show();
cdp.ready(() => { show(); tell(); });
