//! One picture file to the 8-bit RGB pixels it stands for, and from any size to a square.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::Resize;

/// A decoded picture: RGB, row-major.
pub(crate) struct Picture {
    /// Height and width.
    pub(crate) size: [usize; 2],
    pub(crate) pixels: Vec<u8>,
}

/// Endings of the names of pictures that can be decoded, in any case.
pub(crate) const EXTENSIONS: &[&str] =
    &["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "ppm", "pgm", "pbm", "pnm"];
/// What may follow a picture's pixels and precede them: tags, profiles, thumbnails.
const BESIDES: u64 = 1 << 26;
/// The most bytes of a pixel: four channels of 16 bits.
const PIXEL: u64 = 8;
/// How JPEGs begin.
const JPEG: [u8; 2] = [0xff, 0xd8];
/// What a message calls the most pixels that a picture may have.
const LIMIT: &str = "`data.max_pixels`";

/// Decodes the picture in a file: see [`Encoded`].
///
/// # Errors
/// In words for a message that names the file.
pub(crate) fn decode(path: &Path, most: u64) -> Result<Picture, String> {
    Encoded::new(read(path, Encoded::most_bytes(most))?, most)?.whole()
}

/// A JPEG, PNG, WebP, BMP or PNM, told apart by content, of which the size is known. Decoded, gray becomes RGB, 16 bits
/// become 8, CMYK is brought to RGB, what is transparent becomes white, and the orientation tag that cameras write is
/// honoured.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    /// Height and width when it stands upright.
    pub(crate) size: [usize; 2],
    orientation: Orientation,
    is_jpeg: bool,
    most: u64,
}

impl Encoded {
    /// The most bytes of the file of a picture that may have `most` pixels.
    pub(crate) fn most_bytes(most: u64) -> u64 {
        PIXEL.saturating_mul(most).saturating_add(BESIDES)
    }

    /// Reads what these bytes say of the picture. One that says that it has more than `most` pixels is refused before
    /// there is any memory for them.
    ///
    /// # Errors
    /// In words for a message that names the file.
    pub(crate) fn new(bytes: Vec<u8>, most: u64) -> Result<Self, String> {
        if jpeg_is_cut_off(&bytes) {
            return Err("the file is truncated".into());
        }
        let mut decoder = decoder(&bytes, most)?;
        let (width, height) = decoder.dimensions();
        let orientation = decoder.orientation().map_err(|error| words(error, most))?;
        let size = match orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => [width, height],
            _ => [height, width],
        };
        drop(decoder);
        let is_jpeg = bytes.starts_with(&JPEG);
        Ok(Self { bytes, size: size.map(|side| side as usize), orientation, is_jpeg, most })
    }

    /// All of it.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(crate) fn whole(self) -> Result<Picture, String> {
        let picture = DynamicImage::from_decoder(decoder(&self.bytes, self.most)?);
        Ok(self.upright(picture.map_err(|error| words(error, self.most))?))
    }

    /// All of it, at a scale at which the part of this size comes to no less than `seen`: of JPEGs the smallest of an
    /// eighth, a quarter, a half and the whole, which costs less than to scale afterwards.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(crate) fn scaled(self, part: [usize; 2], seen: [usize; 2]) -> Result<Picture, String> {
        let eighths = eighths(part, seen);
        let small = if self.is_jpeg && eighths < 8 { self.reduced(eighths) } else { None };
        match small {
            Some(picture) => Ok(self.upright(picture)),
            // Also what the one decoder does not know and the other may.
            None => self.whole(),
        }
    }

    /// A JPEG of three colours or gray at so many eighths of its size.
    fn reduced(&self, eighths: u16) -> Option<DynamicImage> {
        let mut decoder = jpeg_decoder::Decoder::new(&*self.bytes);
        decoder.read_info().ok()?;
        let info = decoder.info()?;
        let side = |side: u16| ((u32::from(side) * u32::from(eighths)).div_ceil(8)) as u16;
        let (width, height) = decoder.scale(side(info.width), side(info.height)).ok()?;
        let (width, height) = (width.into(), height.into());
        let pixels = decoder.decode().ok()?;
        match info.pixel_format {
            jpeg_decoder::PixelFormat::RGB24 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
            jpeg_decoder::PixelFormat::L8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
            _ => None,
        }
    }

    fn upright(&self, mut picture: DynamicImage) -> Picture {
        picture.apply_orientation(self.orientation);
        let picture = if picture.color().has_alpha() { over_white(picture) } else { picture.into_rgb8() };
        let size = [picture.height() as usize, picture.width() as usize];
        Picture { size, pixels: picture.into_raw() }
    }
}

/// The least number of eighths, of those that JPEGs are decoded at, at which `part` comes to no less than `seen`.
fn eighths(part: [usize; 2], seen: [usize; 2]) -> u16 {
    let serves = |eighths: &u16| (0..2).all(|side| part[side] * usize::from(*eighths) >= 8 * seen[side]);
    [1, 2, 4].into_iter().find(serves).unwrap_or(8)
}

/// Whether the file begins as a picture does that can be decoded.
pub(crate) fn is_picture(path: &Path) -> bool {
    use ImageFormat::{Bmp, Jpeg, Png, Pnm, WebP};
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.is_ok() && matches!(image::guess_format(&start), Ok(Jpeg | Png | WebP | Bmp | Pnm))
}

/// The bytes of the file, if they are no more than `most`.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
        let file = File::open(path)?;
        bytes.reserve_exact(file.metadata()?.len().min(most) as usize + 1);
        file.take(most + 1).read_to_end(bytes)
    };
    match read(&mut bytes) {
        Err(error) => Err(error.to_string()),
        Ok(length) if length as u64 > most => Err(too_long(most)),
        Ok(_) => Ok(bytes),
    }
}

/// Why a file of more than `most` bytes is not read.
pub(crate) fn too_long(most: u64) -> String {
    format!("it is longer than the {most} bytes that {LIMIT} allows")
}

/// Decodes these bytes, if they say that they are a picture of no more than `most` pixels.
fn decoder(bytes: &[u8], most: u64) -> Result<impl ImageDecoder, String> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(Encoded::most_bytes(most));
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| words(error, most))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(format!("it says that it is {width}×{height}, so that it has no pixels"));
    }
    for [width, height] in [[width, height]].into_iter().chain(webp_frames(bytes)) {
        let pixels = u64::from(width) * u64::from(height);
        if pixels > most {
            return Err(format!(
                "it says that it is {width}×{height}, which is {pixels} pixels, more than {LIMIT} = {most} allows"
            ));
        }
    }
    Ok(decoder)
}

/// Width and height of every frame with losses that is in a WebP, as its own header has them (RFC 6386, 9.1). The file's
/// may say otherwise, and the decoder has memory for the frame before it compares the two.
fn webp_frames(bytes: &[u8]) -> impl Iterator<Item = [u32; 2]> {
    /// Behind the chunk's name: its length, three bytes of the frame's tag, and what begins a frame.
    const START: usize = 11;
    let bytes = if bytes.starts_with(b"RIFF") { bytes } else { &[] };
    let is_frame = |chunk: &&[u8]| chunk.starts_with(b"VP8 ") && chunk[START..].starts_with(&[0x9d, 0x01, 0x2a]);
    // Beside 14 bits of a side are two that say how to scale it for a screen.
    bytes.windows(START + 7).filter(is_frame).map(|chunk| {
        [3, 5].map(|at| u32::from(u16::from_le_bytes([chunk[START + at], chunk[START + at + 1]]) & 0x3fff))
    })
}

fn words(error: ImageError, most: u64) -> String {
    match error {
        ImageError::Limits(_) => format!("it needs more memory than {LIMIT} = {most} allows"),
        other => other.to_string(),
    }
}

/// White, as on paper and in browsers, because most pictures with transparency are dark drawings.
fn over_white(picture: DynamicImage) -> RgbImage {
    let picture = picture.into_rgba8();
    let mut opaque = RgbImage::new(picture.width(), picture.height());
    for (to, from) in opaque.pixels_mut().zip(picture.pixels()) {
        let [rgb @ .., alpha] = from.0.map(u32::from);
        to.0 = rgb.map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    opaque
}

/// Whether a JPEG ends before its end-of-image marker. The decoder paints such pictures' missing
/// part gray instead of complaining, so this walks over the segments first. Anything else odd is
/// left for the decoder to name.
fn jpeg_is_cut_off(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    let Some(mut rest) = bytes.strip_prefix(&JPEG) else {
        return false;
    };
    loop {
        // Between markers: entropy-coded data, in which a byte ff is always followed by 00 or a
        // restart marker.
        let Some(at) = rest.iter().position(|&byte| byte == 0xff) else {
            return true;
        };
        rest = &rest[at + 1..];
        match rest.first() {
            None => return true,
            Some(&END_OF_IMAGE) => return false,
            // A stuffed ff; padding; markers without a length.
            Some(0x00 | 0x01 | 0xff | 0xd0..=0xd8) => {}
            Some(_) => {
                let &[_, high, low, ..] = rest else {
                    return true;
                };
                let Some(after) = rest.get(1 + usize::from(u16::from_be_bytes([high, low]))..) else {
                    return true;
                };
                rest = after;
            }
        }
    }
}

/// The picture as a square of `side` pixels if one is given, else as it is.
pub(crate) fn fit(picture: Picture, side: Option<usize>, how: Resize) -> Picture {
    match side {
        Some(side) => Picture { size: [side; 2], pixels: resize(&picture, side, how) },
        None => picture,
    }
}

/// The picture as a square of `side` pixels, scaled linearly; where that shrinks, every pixel is a
/// weighted mean over all that it covers.
pub(crate) fn resize(picture: &Picture, side: usize, resize: Resize) -> Vec<u8> {
    let [height, width] = picture.size;
    let [tall, wide] = match resize {
        Resize::Crop => [height.min(width); 2],
        Resize::Squash => [height, width],
    };
    scale(picture, [tall, wide], [side; 2])
}

/// The middle of the picture, as high and wide as `part`, scaled to `to`, likewise.
pub(crate) fn scale(picture: &Picture, part: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let ([height, width], [tall, wide]) = (picture.size, part);
    // Whole pixels, so that a picture of the right height is only cut, not resampled.
    let [top, left] = [(height - tall) / 2, (width - wide) / 2];
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        left as f64,
        top as f64,
        wide as f64,
        tall as f64,
    );
    let from = ImageRef::new(width as u32, height as u32, &picture.pixels, PixelType::U8x3)
        .expect("as many pixels as the size says");
    let mut scaled = Image::new(to[1] as u32, to[0] as u32, PixelType::U8x3);
    Resizer::new().resize(&from, &mut scaled, &options).expect("the part lies inside and both have the same type");
    scaled.into_vec()
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, Luma, Rgba, RgbaImage};

    use super::*;

    fn jpeg() -> Vec<u8> {
        let picture = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 10, y as u8 * 15, 99]));
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Jpeg).unwrap();
        bytes
    }

    #[test]
    fn a_picture_without_pixels_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.ppm");
        std::fs::write(&path, "P6\n0 0\n255\n").unwrap();
        assert!(decode(&path, 1 << 20).is_err_and(|words| words.contains("no pixels")));
    }

    #[test]
    fn a_jpeg_cut_off_anywhere_is_noticed() {
        let whole = jpeg();
        assert!(!jpeg_is_cut_off(&whole));
        for end in 2..whole.len() {
            assert!(jpeg_is_cut_off(&whole[..end]), "{end} of {}", whole.len());
        }
        // Cameras append other things; they are not ours.
        let mut more = whole.clone();
        more.extend([0xff, 0xda, 0x00]);
        assert!(!jpeg_is_cut_off(&more));
    }

    /// A file's header says 1 × 1, and the frame in it 16,383 × 16,383.
    #[test]
    fn a_webps_frame_is_no_larger_than_is_allowed() {
        let frame = |[width, height]: [u16; 2]| {
            let sides = [width, height].map(u16::to_le_bytes).concat();
            let data = [&[0x10, 0x02, 0, 0x9d, 0x01, 0x2a], &sides[..], &[0; 20]].concat();
            let canvas = [b"VP8X\x0a\0\0\0".as_slice(), &[0; 10]].concat();
            let chunks = [&canvas[..], b"VP8 ", &(data.len() as u32).to_le_bytes(), &data].concat();
            [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
        };
        let refusal = |sides| Encoded::new(frame(sides), 1 << 20).err();
        assert_eq!(refusal([1, 1]), None);
        assert_eq!(refusal([1024, 1024]), None);
        let words = refusal([16383, 16383]).unwrap();
        assert!(words.contains("it is 16383×16383, which is 268402689 pixels"), "{words}");
    }

    #[test]
    fn transparent_is_white_and_gray_is_rgb() {
        let mut picture = RgbaImage::from_pixel(2, 1, Rgba([10, 20, 30, 0]));
        picture.put_pixel(1, 0, Rgba([0, 100, 255, 128]));
        assert_eq!(over_white(picture.into()).into_raw(), [255, 255, 255, 127, 177, 255]);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gray.png");
        image::ImageBuffer::<Luma<u16>, _>::from_pixel(3, 2, Luma([0x8080u16])).save(&path).unwrap();
        let picture = decode(&path, 1 << 20).unwrap();
        assert_eq!((picture.size, picture.pixels), ([2, 3], vec![0x80; 18]));
    }

    #[test]
    fn the_orientation_tag_is_honoured() {
        // A PNG whose Exif says 6: to be turned clockwise by a quarter. Left black, right white
        // becomes top, bottom.
        let exif = [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0".as_slice(), &[0; 4]].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turned.png");
        let mut encoder = image::codecs::png::PngEncoder::new(File::create(&path).unwrap());
        encoder.set_exif_metadata(exif).unwrap();
        let picture = GrayImage::from_fn(2, 1, |x, _| Luma([x as u8 * 255]));
        encoder.write_image(&picture, 2, 1, image::ExtendedColorType::L8).unwrap();
        let picture = decode(&path, 1 << 20).unwrap();
        assert_eq!((picture.size, picture.pixels), ([2, 1], vec![0, 0, 0, 255, 255, 255]));
    }

    #[test]
    fn crop_keeps_the_middle_and_squash_keeps_everything() {
        // Six columns of two rows: black, black, gray, gray, white, white.
        let row: Vec<u8> = [0, 0, 128, 128, 255, 255].iter().flat_map(|&value| [value; 3]).collect();
        let picture = Picture { size: [2, 6], pixels: row.repeat(2) };
        assert_eq!(resize(&picture, 2, Resize::Crop), [128; 12]);
        let squashed = resize(&picture, 2, Resize::Squash);
        assert!(squashed[0] < 64 && squashed[3] > 192, "{squashed:?}");
        // Shrinking averages: alternating black and white becomes gray, whichever pixels a sample
        // would hit.
        let stripes: Vec<u8> = (0..64).flat_map(|i| [255 * (i % 2) as u8; 3]).collect();
        let picture = Picture { size: [64, 64], pixels: stripes.repeat(64) };
        let small = resize(&picture, 4, Resize::Squash);
        assert!(small.iter().all(|value| (120..=135).contains(value)), "{small:?}");
    }
}
