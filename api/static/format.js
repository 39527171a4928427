// Words and figures for people. Money comes in minor units with its currency and is never computed as a fraction
// before it is shown.

const moneyFormats = new Map();
const counts = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const precise = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });

function moneyFormat(currency) {
  if (!moneyFormats.has(currency)) {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    moneyFormats.set(currency, { format, digits: format.resolvedOptions().maximumFractionDigits });
  }
  return moneyFormats.get(currency);
}

/** Write `{amount_minor, currency}` as the reader's language does: 1999 EUR is €19.99, 500 JPY is ¥500. */
export function money({ amount_minor: minor, currency }) {
  const { format, digits } = moneyFormat(currency);
  const text = String(Math.abs(minor)).padStart(digits + 1, "0");
  const decimal = digits ? `${text.slice(0, -digits)}.${text.slice(-digits)}` : text;
  return format.format(minor < 0 ? `-${decimal}` : decimal);
}

export const count = (number) => counts.format(number);

/** Keep a text of somebody else's to itself: one that is written from right to left must not turn ours around. */
export const apart = (text) => `\u2068${text}\u2069`;

export const timeWithSeconds = (instant) => precise.format(new Date(instant));

/** Say when something is, with the day if that is not today. */
export function when(instant) {
  const date = new Date(instant);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

/** Write a span as a countdown: 0:07, 12:40, 2:05:00. A started second counts, so 0:00 is never shown too early. */
export function span(milliseconds) {
  const total = Math.max(0, Math.ceil(milliseconds / 1000));
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

