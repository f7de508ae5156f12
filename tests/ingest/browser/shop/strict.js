(window.cdp = window.cdp || []).push(["track", "By its own script"]);
