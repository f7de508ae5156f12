// What keeps a fault of ours from the page: it is told on the console, and the page goes on.

/** Tells a developer. */
export function warn(...words: unknown[]): void {
  console.warn("cdp:", ...words);
}

/** The same work, that never throws. */
export function guard<Given extends unknown[], Result>(work: (...given: Given) => Result) {
  return (...given: Given): Result | undefined => {
    try {
      return work(...given);
    } catch (error) {
      warn(error);
      return undefined;
    }
  };
}

/** Listens, without harm to who else does. */
export function listen(target: EventTarget, name: string, work: (event: any) => void): void {
  target.addEventListener(name, guard(work), true);
}

/** Does something later. */
export function later(work: () => void, milliseconds = 0): number {
  return window.setTimeout(guard(work), milliseconds);
}
