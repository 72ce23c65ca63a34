//! One picture file to the 8-bit RGB pixels it stands for, and from any size to a square.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

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
/// What a message calls the most pixels that a picture may have.
const LIMIT: &str = "`data.max_pixels`";

/// Decodes a JPEG, PNG, WebP, BMP or PNM, told apart by content. Gray becomes RGB, 16 bits become 8,
/// what is transparent becomes white, and the orientation tag that cameras write is honoured.
///
/// A picture that says that it has more than `most` pixels is refused before there is any memory for
/// them.
///
/// # Errors
/// In words for a message that names the file.
pub(crate) fn decode(path: &Path, most: u64) -> Result<Picture, String> {
    let bytes = read(path, PIXEL * most + BESIDES)?;
    if jpeg_is_cut_off(&bytes) {
        return Err("the file is truncated".into());
    }
    let picture = decode_bytes(&bytes, most)?;
    let picture = if picture.color().has_alpha() { over_white(picture) } else { picture.into_rgb8() };
    let size = [picture.height() as usize, picture.width() as usize];
    Ok(Picture { size, pixels: picture.into_raw() })
}

/// Whether the file begins as a picture does that can be decoded.
pub(crate) fn is_picture(path: &Path) -> bool {
    use ImageFormat::{Bmp, Jpeg, Png, Pnm, WebP};
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.is_ok() && matches!(image::guess_format(&start), Ok(Jpeg | Png | WebP | Bmp | Pnm))
}

/// The bytes of the file, if they are no more than `most`.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> { File::open(path)?.take(most + 1).read_to_end(bytes) };
    match read(&mut bytes) {
        Err(error) => Err(error.to_string()),
        Ok(length) if length as u64 > most => Err(format!("it is longer than the {most} bytes that {LIMIT} allows")),
        Ok(_) => Ok(bytes),
    }
}

fn decode_bytes(bytes: &[u8], most: u64) -> Result<DynamicImage, String> {
    let words = |error: ImageError| match error {
        ImageError::Limits(_) => format!("it needs more memory than {LIMIT} = {most} allows"),
        other => other.to_string(),
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(PIXEL * most + BESIDES);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(words)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(format!("it says that it is {width}×{height}, so that it has no pixels"));
    }
    if pixels > most {
        return Err(format!(
            "it says that it is {width}×{height}, which is {pixels} pixels, more than {LIMIT} = {most} allows"
        ));
    }
    let orientation = decoder.orientation().map_err(words)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(words)?;
    picture.apply_orientation(orientation);
    Ok(picture)
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
    let Some(mut rest) = bytes.strip_prefix(&[0xff, 0xd8]) else {
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
    use image::{GrayImage, ImageEncoder, Luma, Rgba, RgbaImage};

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
