//! A line plot as SVG text, coloured by the page's style alone, so that it follows the reader's theme.
//!
//! Own code and not `plotters`: that writes fixed colours, and one theme would be unreadable.

use std::fmt::Write as _;

use super::page::escape;

/// What to draw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) lines: Vec<Line>,
    /// Stretches of the x axis with a name.
    pub(crate) spans: Vec<(f64, f64, String)>,
    /// A level that should not be passed.
    pub(crate) limit: Option<f64>,
    pub(crate) log: bool,
}

/// One line; holes where there is no value.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// How values become places on the paper.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    log: bool,
}

impl Line {
    pub(crate) fn new(name: &str, points: Vec<(f64, Option<f64>)>) -> Self {
        Self {
            name: name.to_owned(),
            points,
        }
    }
}

impl Plot {
    /// The plot as a `figure`; nothing when there is nothing to see.
    pub(crate) fn render(&self) -> String {
        let Some(scale) = Scale::of(self) else {
            return String::new();
        };
        let mut out = String::new();
        self.write(&mut out, &scale)
            .expect("a string takes all text");
        out
    }

    fn write(&self, out: &mut String, scale: &Scale) -> std::fmt::Result {
        let title = escape(&self.title);
        writeln!(
            out,
            "<figure><figcaption>{title}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        )?;
        self.write_spans(out, scale)?;
        self.write_axes(out, scale)?;
        if let Some(limit) = self.limit {
            let y = scale.place_y(limit);
            writeln!(
                out,
                "<line class=\"limit\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>"
            )?;
        }
        for (index, line) in self.lines.iter().enumerate() {
            let path = scale.path(&line.points);
            writeln!(
                out,
                "<path class=\"line l{}\" d=\"{path}\"/>",
                index % COLOURS
            )?;
        }
        self.write_legend(out)?;
        writeln!(out, "</svg></figure>")
    }

    fn write_spans(&self, out: &mut String, scale: &Scale) -> std::fmt::Result {
        for (index, (from, to, name)) in self.spans.iter().enumerate() {
            let (x, end) = (scale.place_x(*from), scale.place_x(*to));
            let width = end - x;
            writeln!(
                out,
                "<rect class=\"span s{}\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"/>",
                index % 2,
                BOTTOM - TOP
            )?;
            if width > name.len() as f64 * CHARACTER {
                let middle = x + width / 2.0;
                writeln!(
                    out,
                    "<text class=\"stage\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
                    TOP + 12.0,
                    escape(name)
                )?;
            }
        }
        Ok(())
    }

    fn write_axes(&self, out: &mut String, scale: &Scale) -> std::fmt::Result {
        for value in scale.ticks_y() {
            let y = scale.place_y(value);
            writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                short(value)
            )?;
        }
        for value in ticks(scale.x) {
            writeln!(
                out,
                "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                scale.place_x(value),
                BOTTOM + 16.0,
                short(value)
            )?;
        }
        writeln!(
            out,
            "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 32.0,
            escape(&self.x)
        )
    }

    fn write_legend(&self, out: &mut String) -> std::fmt::Result {
        let mut x = LEFT;
        let y = TOP - 10.0;
        for (index, line) in self.lines.iter().enumerate() {
            writeln!(
                out,
                "<line class=\"line l{}\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>\
                 <text class=\"legend\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                index % COLOURS,
                y - 4.0,
                x + 18.0,
                y - 4.0,
                x + 23.0,
                escape(&line.name)
            )?;
            x += 40.0 + line.name.chars().count() as f64 * CHARACTER;
        }
        Ok(())
    }
}

impl Scale {
    fn of(plot: &Plot) -> Option<Self> {
        let points = || plot.lines.iter().flat_map(|line| &line.points);
        let values = || points().filter_map(|(_, y)| *y).filter(|y| y.is_finite());
        let shown = |y: &f64| !plot.log || *y > 0.0;
        let highest = values().chain(plot.limit).fold(f64::NAN, f64::max);
        let lowest = values()
            .filter(shown)
            .chain(plot.limit)
            .fold(f64::NAN, f64::min);
        let from = points().map(|(x, _)| *x).fold(f64::NAN, f64::min);
        let to = points().map(|(x, _)| *x).fold(f64::NAN, f64::max);
        if !(highest > 0.0 && from < to) {
            return None;
        }
        let first_span = plot
            .spans
            .first()
            .map_or(from, |(start, ..)| start.min(from));
        Some(Self {
            x: (first_span, to),
            y: if plot.log {
                (
                    10f64.powf(lowest.log10().floor()),
                    10f64.powf(highest.log10().ceil()).max(lowest * 2.0),
                )
            } else {
                (0.0, highest * 1.15)
            },
            log: plot.log,
        })
    }

    fn place_x(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (RIGHT - LEFT)
    }

    fn place_y(&self, y: f64) -> f64 {
        let share = if self.log {
            let (low, high) = (self.y.0.log10(), self.y.1.log10());
            (y.max(self.y.0).log10() - low) / (high - low)
        } else {
            (y - self.y.0) / (self.y.1 - self.y.0)
        };
        BOTTOM - share * (BOTTOM - TOP)
    }

    fn path(&self, points: &[(f64, Option<f64>)]) -> String {
        let (mut path, mut pen) = (String::new(), 'M');
        for (x, y) in points {
            match y.filter(|y| y.is_finite()) {
                Some(y) => {
                    let (x, y) = (self.place_x(*x), self.place_y(y));
                    write!(path, "{pen}{x:.1} {y:.1}").expect("a string takes all text");
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        path
    }

    fn ticks_y(&self) -> Vec<f64> {
        if !self.log {
            return ticks(self.y);
        }
        let (low, high) = (
            self.y.0.log10().round() as i32,
            self.y.1.log10().round() as i32,
        );
        (low..=high).map(|power| 10f64.powi(power)).collect()
    }
}

/// Some five round numbers within a range.
fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let rough = (to - from) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (from / step).ceil() as i64;
    let last = (to / step).floor() as i64;
    (first..=last).map(|count| count as f64 * step).collect()
}

/// A number in few characters: `1.5k`, `20M`, `0.25`.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 845.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 238.0;
/// Width of a character of the legend, roughly.
const CHARACTER: f64 = 7.5;
/// Of lines, in the page's style.
const COLOURS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, 5.0, 17.5, 1234.0, 20_000.0, 1_500_000.0].map(short);
        assert_eq!(texts, ["0", "0.25", "5", "17.5", "1234", "20k", "1.5M"]);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks((3.0, 47.0)), [10.0, 20.0, 30.0, 40.0]);
    }

    #[test]
    fn a_hole_breaks_the_line() {
        let points = vec![
            (0.0, Some(1.0)),
            (1.0, None),
            (2.0, Some(3.0)),
            (3.0, Some(2.0)),
        ];
        let plot = Plot {
            title: "a < b".to_owned(),
            lines: vec![Line::new("one", points)],
            ..Plot::default()
        };
        let svg = plot.render();
        assert_eq!(
            svg.matches("M6").count() + svg.matches('M').count(),
            3,
            "{svg}"
        );
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(Plot::default().render(), "");
        let flat = Plot {
            lines: vec![Line::new("none", vec![(0.0, None), (1.0, None)])],
            ..Plot::default()
        };
        assert_eq!(flat.render(), "");
    }
}
