/**
 * The types of data and of names that no contract describes.
 */

/** The compiler checks nothing about it; a contract or an annotation does. */
export type Unchecked = any;

/** The name itself if it is one of `All`; otherwise all of them, so that the compiler blames the name and lists them. */
export type Known<N, All> = [N] extends [All] ? N : All;
