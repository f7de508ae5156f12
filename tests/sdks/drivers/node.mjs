// Performs plays with an SDK for Node: all at once, each told to a client of its own.
// node <driver> <plays.json>: prints one line of JSON a play, {"name", "errors"}.
import { readFileSync } from "node:fs";

/** `perform(play, failed)` tells an SDK the play's calls, and resolves once the SDK is done with them. */
export async function each(perform) {
  const plays = JSON.parse(readFileSync(process.argv[2], "utf8"));
  await Promise.all(
    plays.map(async (play) => {
      const errors = [];
      const failed = (error) => errors.push(String(error?.reason?.message ?? error?.message ?? error));
      await perform(play, failed).catch(failed);
      console.log(JSON.stringify({ name: play.name, errors }));
    }),
  );
  process.exit(0);
}

/** The call as SDKs for Node take it: in one object, its time a Date. */
export function message({ type, timestamp, ...rest }) {
  return timestamp ? { ...rest, timestamp: new Date(timestamp) } : rest;
}
