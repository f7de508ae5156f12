// What the drivers for browsers share. A page performs one play: `perform(play)` resolves once all its calls are made.

/** Makes `perform` of this page; `start(play)` gives the SDK, loaded. */
export function performing(start, tell = telling) {
  window.failures = [];
  window.addEventListener("error", ({ message }) => window.failures.push(message));
  window.addEventListener("unhandledrejection", ({ reason }) => window.failures.push(String(reason?.message ?? reason)));
  window.perform = async (play) => {
    const analytics = await start(play);
    for (const call of play.calls) tell(analytics, call);
  };
}

/** Makes a call of the analytics.js family. */
export function telling(analytics, { type, anonymousId, userId, previousId, groupId, event, category, name, ...call }) {
  const options = call.timestamp ? { timestamp: call.timestamp } : {};
  if (anonymousId) analytics.setAnonymousId(anonymousId);
  switch (type) {
    case "track":
      return analytics.track(event, call.properties, options);
    case "identify":
      return analytics.identify(userId, call.traits, options);
    case "group":
      return analytics.group(groupId, call.traits, options);
    case "alias":
      return analytics.alias(userId, previousId, options);
    default:
      return analytics[type](category, name, call.properties, options);
  }
}
