//! Pictures as classifiers read them: PNG, of exactly the model's size.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use png::{ColorType, Decoder, Limits, Transformations};
use serde_json::{Map, Value};
use std::io::Cursor;

/// What stands before the data of a PNG in a URL.
const DATA_URL: &str = "data:image/png;base64,";
/// Bytes that decoding may take beside the picture, whose size is known before.
const DECODED_MAX: usize = 1 << 20;

/// Elements of the picture in `{"image": "data:image/png;base64,…"}`: channel by channel, row by row, 0 to 255. A model of one channel
/// reads the luminance of a coloured picture; transparency is not read.
pub(super) fn read(
    fields: Map<String, Value>,
    [channels, height, width]: [u32; 3],
    (least, most): (i16, i16),
) -> Result<Vec<i16>, String> {
    let mut fields = fields.into_iter();
    let (Some((name, Value::String(url))), None) = (fields.next(), fields.next()) else {
        return Err("an object has one field, `image`, which is a string".to_owned());
    };
    if name != "image" {
        return Err(format!("`{name}` is not supported; an object has one field, `image`"));
    }
    if !matches!(channels, 1 | 3) || least > 0 || most < 255 {
        return Err("this classifier reads numbers that are no picture's".to_owned());
    }
    let data = url.strip_prefix(DATA_URL).ok_or_else(|| format!("`image` must begin with {DATA_URL:?}"))?;
    let bytes = BASE64.decode(data).map_err(|error| format!("`image` is not base64: {error}"))?;
    let wrong = |error: png::DecodingError| format!("`image` is not a PNG that can be read: {error}");
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: DECODED_MAX });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let info = decoder.read_header_info().map_err(wrong)?;
    if (info.width, info.height) != (width, height) {
        let found = format!("{} by {}", info.width, info.height);
        return Err(format!("the picture has {found} pixels, and the model reads {width} by {height}"));
    }
    let mut reader = decoder.read_info().map_err(wrong)?;
    let size = reader.output_buffer_size().ok_or("the picture is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(wrong)?;
    let samples = match frame.color_type {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    let pixels: Vec<[u8; 3]> = pixels
        .chunks_exact(samples)
        .map(|pixel| match *pixel {
            [red, green, blue] | [red, green, blue, _] => [red, green, blue],
            [gray, ..] => [gray; 3],
            [] => [0; 3],
        })
        .collect();
    if channels == 1 {
        return Ok(pixels.iter().map(|pixel| luminance(*pixel)).collect());
    }
    let plane =
        |channel: usize| pixels.iter().map(move |pixel| pixel.get(channel).map_or(0, |sample| i16::from(*sample)));
    Ok((0..3).flat_map(plane).collect())
}

/// Of ITU-R BT.601, rounded; a gray is itself.
fn luminance([red, green, blue]: [u8; 3]) -> i16 {
    let sum = 299 * i32::from(red) + 587 * i32::from(green) + 114 * i32::from(blue);
    i16::try_from((sum + 500) / 1_000).unwrap_or(255)
}
