// Runs before anything is drawn, so that nobody sees the other theme for a moment.
"use strict";
try {
  const theme = localStorage.getItem("recommender.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // a browser that keeps nothing shows the theme of the system
}
