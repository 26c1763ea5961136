// @ts-check
/** How long something takes or is ago, in as few characters as a glance allows. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Time left as a clock shows it: 0:42, 4:12, 1 h 05, 3 d.
 * @param {number} milliseconds
 */
export function timeLeft(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "";
  const left = Math.max(0, milliseconds);
  if (left >= 2 * DAY) return `${Math.floor(left / DAY)} d`;
  if (left >= HOUR) return `${Math.floor(left / HOUR)} h ${twoDigits(Math.floor((left % HOUR) / MINUTE))}`;
  const seconds = Math.ceil(left / 1000);
  return `${Math.floor(seconds / 60)}:${twoDigits(seconds % 60)}`;
}

/**
 * The same for a voice.
 * @param {number} milliseconds
 */
export function timeLeftInWords(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "no time limit";
  const left = Math.max(0, milliseconds);
  if (left >= HOUR) return `${count(Math.round(left / HOUR), "hour")} left`;
  if (left >= 2 * MINUTE) return `${count(Math.round(left / MINUTE), "minute")} left`;
  return `${count(Math.ceil(left / 1000), "second")} left`;
}

/**
 * @param {number} milliseconds
 */
export function timeAgo(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "";
  if (milliseconds < 45_000) return "just now";
  if (milliseconds < 90 * MINUTE) return `${count(Math.max(1, Math.round(milliseconds / MINUTE)), "minute")} ago`;
  if (milliseconds < 36 * HOUR) return `${count(Math.round(milliseconds / HOUR), "hour")} ago`;
  return `${count(Math.round(milliseconds / DAY), "day")} ago`;
}

/**
 * How pressing a deadline is.
 * @param {number} milliseconds
 * @returns {"calm" | "soon" | "now" | "over"}
 */
export function urgency(milliseconds) {
  if (milliseconds <= 0) return "over";
  if (milliseconds <= 15_000) return "now";
  return milliseconds <= MINUTE ? "soon" : "calm";
}

/** @param {number} value */
function twoDigits(value) {
  return String(value).padStart(2, "0");
}

/**
 * @param {number} value
 * @param {string} noun
 */
export function count(value, noun) {
  return `${value.toLocaleString()} ${noun}${value === 1 ? "" : "s"}`;
}
