//! Eight bits in, eight bits out: gray frames, and flow as bytes.

use super::Flow;

/// Displacements beyond this many pixels, in either direction, are cut off in 8-bit storage.
pub const BOUND: f32 = 20.0;

/// round(255 · (v + 20) / 40), of a displacement in pixels: steps of 0.157 pixels; 0 becomes 128.
///
/// −v becomes 255 − byte, except where v lies in the middle between two bytes, as 0 does: then both round up and the
/// bytes add up to 256.
pub fn to_byte(displacement: f32) -> u8 {
    let bound = f64::from(BOUND);
    // In double precision, since near 20 single precision cannot tell a small v from 0.
    (255.0 * (f64::from(displacement) + bound) / (2.0 * bound)).round() as u8
}

/// The displacement in pixels that a byte stands for.
pub fn from_byte(byte: u8) -> f32 {
    f32::from(byte) * (2.0 * BOUND / 255.0) - BOUND
}

impl Flow {
    /// As bytes, `[height, width, 2]` row-major: x and y of every pixel.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.x.iter().zip(&self.y).flat_map(|(&x, &y)| [to_byte(x), to_byte(y)]).collect()
    }

    /// From bytes as [`to_bytes`](Self::to_bytes) makes them, with `size` as height, width.
    ///
    /// # Panics
    /// If there are not two bytes a pixel.
    pub fn from_bytes(bytes: &[u8], size: [usize; 2]) -> Self {
        assert_eq!(bytes.len(), size[0] * size[1] * 2, "flow of {}×{} pixels, two bytes each", size[0], size[1]);
        let (x, y) = bytes.chunks_exact(2).map(|pixel| (from_byte(pixel[0]), from_byte(pixel[1]))).unzip();
        Self { size, x, y }
    }
}

/// The luma of an RGB picture, 8 bits per channel, pixel after pixel: 0.299 R + 0.587 G + 0.114 B (Rec. 601) in OpenCV's
/// 15-bit fixed point, so that its bytes are OpenCV's.
///
/// # Panics
/// If there are not three bytes a pixel.
pub fn gray(rgb: &[u8]) -> Vec<u8> {
    const WEIGHTS: [u32; 3] = [9798, 19235, 3735];
    assert_eq!(rgb.len() % 3, 0, "three bytes a pixel");
    rgb.chunks_exact(3)
        .map(|pixel| {
            let sum: u32 = pixel.iter().zip(WEIGHTS).map(|(&value, weight)| u32::from(value) * weight).sum();
            ((sum + (1 << 14)) >> 15) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_formula_and_clamp() {
        // 255 · (v + 20) / 40: 0 and 255 at the bounds, 133.875 at v = 1, 127.5 at 0.
        for (displacement, byte) in
            [(-20.0, 0), (20.0, 255), (1.0, 134), (-1.0, 121), (0.0, 128), (-1e9, 0), (1e9, 255), (f32::NAN, 0)]
        {
            assert_eq!(to_byte(displacement), byte, "{displacement}");
        }
        for byte in 0..=255 {
            assert_eq!(to_byte(from_byte(byte)), byte);
        }
    }

    #[test]
    fn storing_costs_half_a_step() {
        for i in -20_000..=20_000 {
            let displacement = i as f32 / 1000.0;
            let stored = from_byte(to_byte(displacement));
            assert!((stored - displacement).abs() <= 20.0 / 255.0 + 1e-5, "{displacement} became {stored}");
        }
    }

    #[test]
    fn negation_is_255_minus_the_byte_except_at_ties() {
        // Every 1/1024 of a pixel; in 255 · (v + 20) / 40 a tie needs v to be a multiple of 8 / 51, which of those only
        // the whole multiples of 8 are.
        for i in -20 * 1024..=20 * 1024 {
            let displacement = i as f32 / 1024.0;
            let [there, back] = [displacement, -displacement].map(|v| u32::from(to_byte(v)));
            let tie = i % (8 * 1024) == 0;
            assert_eq!(there + back, if tie { 256 } else { 255 }, "{displacement}");
        }
        // So where nothing moves a mirrored frame's flow says 127 where its own would say 128: −0.08 instead of 0.08.
        assert!((from_byte(255 - to_byte(0.0)) + from_byte(to_byte(0.0))).abs() < 1e-5);
    }

    #[test]
    fn flow_comes_back_from_bytes() {
        let flow = Flow { size: [1, 2], x: vec![1.0, -2.0], y: vec![0.5, 30.0] };
        let bytes = flow.to_bytes();
        assert_eq!(bytes, [134, 131, 115, 255]);
        let back = Flow::from_bytes(&bytes, [1, 2]);
        for (stored, value) in back.x.iter().chain(&back.y).zip([1.0, -2.0, 0.5, 20.0]) {
            assert!((stored - value).abs() < 0.08, "{back:?}");
        }
    }

    #[test]
    fn gray_is_opencvs() {
        // cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) of OpenCV 5.0.0.
        let rgb = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [10, 200, 77], [254, 1, 128]];
        assert_eq!(gray(&rgb.concat()), [76, 150, 29, 255, 0, 129, 91]);
    }
}
