//! QR codes as SVG.

use std::fmt::Write;

use qrcode::{Color, QrCode};

use super::html::{Html, fill};

const SVG: &str = "<svg class=\"qr\" role=\"img\" aria-label=\"QR code of {{text}}\" viewBox=\"0 0 {{size}} {{size}}\" \
                   shape-rendering=\"crispEdges\"><path d=\"{{path}}\"/></svg>";

/// Light modules around the code, which readers need.
const QUIET_ZONE: usize = 4;

/// The QR code of a text; nothing if the text is too long for one.
pub(super) fn code(text: &str) -> Html {
    let Ok(code) = QrCode::new(text) else { return Html::default() };
    let (width, colors) = (code.width(), code.to_colors());
    let mut path = String::new();
    for (at, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (x, y) = (at % width + QUIET_ZONE, at / width + QUIET_ZONE);
        write!(path, "M{x} {y}h1v1h-1z").expect("a string takes any text");
    }
    let size = (width + 2 * QUIET_ZONE).to_string();
    fill(SVG, &[("text", Html::text(text)), ("size", Html::text(size)), ("path", Html::text(path))])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that a reader decodes from a picture with eight pixels for each module of the SVG.
    fn read(svg: &str) -> String {
        const SCALE: usize = 8;
        let part =
            |from: &str, to: &str| svg.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
        let size: usize = part("viewBox=\"0 0 ", " ").parse().unwrap();
        let path = part("<path d=\"", "\"");
        let dark: std::collections::HashSet<(usize, usize)> = path
            .split('M')
            .filter_map(|module| {
                let (x, rest) = module.split_once(' ')?;
                Some((x.parse().unwrap(), rest.split_once('h')?.0.parse().unwrap()))
            })
            .collect();
        let luminance = |x, y| if dark.contains(&(x / SCALE, y / SCALE)) { 0 } else { 255 };
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(size * SCALE, size * SCALE, luminance);
        let (_, content) = picture.detect_grids().first().expect("a code").decode().expect("it can be read");
        content
    }

    #[test]
    fn a_reader_finds_the_text_in_the_code() {
        for text in ["http://192.168.1.20:3000/", "https://chat.example/", "http://[fd00::1]:3000/"] {
            assert_eq!(read(&code(text).into_string()), text);
        }
    }

    #[test]
    fn a_text_that_is_too_long_has_no_code() {
        assert_eq!(code(&"x".repeat(5000)).into_string(), "");
    }
}
