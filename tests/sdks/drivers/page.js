// What the drivers for browsers share. A page performs one play: `perform(play)` resolves once all its calls are made.

/** Makes `perform` of this page; `start(play)` gives `{ analytics }`, the SDK (in an object, for some are thenable). */
export function performing(start, tell = telling) {
  window.failures = [];
  window.addEventListener("error", ({ message }) => window.failures.push(message));
  window.addEventListener("unhandledrejection", ({ reason }) => window.failures.push(String(reason?.message ?? reason)));
  window.perform = async (play) => {
    try {
      const { analytics } = await start(play);
      for (const call of play.calls) await tell(analytics, call); // analytics.js asks who it is when it sends
    } catch (error) {
      window.failures.push(String(error?.stack ?? error));
    }
  };
}

/** Makes a call of the analytics.js family, whose members take the device's id either once or with each call. */
export function telling(analytics, { type, anonymousId, userId, previousId, groupId, event, category, name, ...call }) {
  const options = call.timestamp ? { timestamp: call.timestamp } : {};
  if (anonymousId && analytics.setAnonymousId) analytics.setAnonymousId(anonymousId);
  else if (anonymousId) options.anonymousId = anonymousId;
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
