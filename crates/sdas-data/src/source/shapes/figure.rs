//! The figures as signed distances: how far a point is from a figure's edge, negative inside, in
//! units of the radius of the circle around the figure. Formulas after Inigo Quilez,
//! <https://iquilezles.org/articles/distfunctions2d/>.

type Point = [f32; 2];
type Distance = fn(Point) -> f32;

/// Every figure's name, which is its class, and the distance of a point from its edge when it lies
/// around the origin.
pub(super) const FIGURES: [(&str, Distance); 10] = [
    ("disc", |at| length(at) - 0.9),
    ("ring", |at| (length(at) - 0.75).abs() - 0.2),
    ("square", |at| rectangle(at, [0.74, 0.74])),
    ("triangle", triangle),
    ("cross", |at| rectangle(at, [0.98, 0.27]).min(rectangle(at, [0.27, 0.98]))),
    ("star", star),
    ("crescent", |at| (length(at) - 0.95).max(0.75 - length([at[0] - 0.5, at[1]]))),
    ("bar", |at| rectangle(at, [1.0, 0.3])),
    ("stripes", |at| (length(at) - 0.98).max(band(at[0], 0.56))),
    ("checker", checker),
];

/// The distance of `at` from a segment without width.
pub(super) fn segment(at: Point, [start, end]: [Point; 2]) -> f32 {
    let along = [end[0] - start[0], end[1] - start[1]];
    let from = [at[0] - start[0], at[1] - start[1]];
    // Where the two ends are one, any share of the way is right.
    let share = (dot(from, along) / dot(along, along).max(1e-9)).clamp(0.0, 1.0);
    length([from[0] - share * along[0], from[1] - share * along[1]])
}

fn rectangle(at: Point, half: Point) -> f32 {
    let [x, y] = [at[0].abs() - half[0], at[1].abs() - half[1]];
    length([x.max(0.0), y.max(0.0)]) + x.max(y).min(0.0)
}

/// Equal sides, as the part common to three half planes; exact near the edges, which is where it
/// matters.
fn triangle([x, y]: Point) -> f32 {
    const HALF_OF_ROOT_3: f32 = 0.866_025_4;
    y.max(HALF_OF_ROOT_3 * x - 0.5 * y).max(-HALF_OF_ROOT_3 * x - 0.5 * y) - 0.52
}

/// Five points, folded onto one by its mirror axes at 36°.
fn star(at: Point) -> f32 {
    const RADIUS: f32 = 1.04;
    const INNER: f32 = 0.45;
    const COS: f32 = 0.809_017;
    const SIN: f32 = 0.587_785_25;
    let [mut x, mut y] = [at[0].abs(), at[1]];
    for axis in [[COS, -SIN], [-COS, -SIN]] {
        let beyond = 2.0 * dot([x, y], axis).max(0.0);
        [x, y] = [x - beyond * axis[0], y - beyond * axis[1]];
    }
    [x, y] = [x.abs(), y - RADIUS];
    let edge = [INNER * SIN, INNER * COS - 1.0];
    let share = (dot([x, y], edge) / dot(edge, edge)).clamp(0.0, RADIUS);
    let away = length([x - share * edge[0], y - share * edge[1]]);
    if y * edge[0] < x * edge[1] { -away } else { away }
}

/// Parallel bands, as wide as the gaps between them, repeated every `period`.
fn band(x: f32, period: f32) -> f32 {
    let turn = x / period;
    ((turn - (turn + 0.5).floor()).abs() - 0.25) * period
}

/// Four by four fields, every other one filled: eight squares.
fn checker([x, y]: Point) -> f32 {
    const FIELD: f32 = 0.37;
    let filled = (0..16).filter(|field| (field % 4 + field / 4) % 2 == 0);
    let centres = filled.map(|field| [field % 4, field / 4].map(|place| (place as f32 - 1.5) * FIELD));
    centres.map(|centre| rectangle([x - centre[0], y - centre[1]], [FIELD / 2.0; 2])).fold(f32::INFINITY, f32::min)
}

fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

fn length(at: Point) -> f32 {
    dot(at, at).sqrt()
}
