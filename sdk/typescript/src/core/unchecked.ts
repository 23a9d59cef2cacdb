/**
 * The type of data that no contract describes.
 */

/** The compiler checks nothing about it; a contract or an annotation does. */
export type Unchecked = any;
