/** A figure that stays as it was told until it is another by a whole step: so that an idle edge has nothing new to say. Used by agent.ts. */

/** Gives a function that rounds down to steps, without going to and fro where the figure wavers around the edge of one. */
export function steadyFigure(step: number): (figure: number) => number {
  let told: number | undefined
  return figure => {
    if (told === undefined || Math.abs(figure - told) >= step) told = Math.floor(figure / step) * step
    return told
  }
}
