//! Weights in a file beside the model.

use super::proto::{Entry, Tensor};

/// Where a tensor may begin, so that a file that is mapped into memory can be read in place.
const ALIGNMENT: usize = 4096;
/// Smaller tensors stay in the model.
const LEAST: usize = 1024;
/// `DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// Moves what tensors hold into the file of that name; gives its bytes.
pub(super) fn move_out(tensors: &mut [Tensor], file: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for tensor in tensors {
        let Some(bytes) = tensor.raw_data.take_if(|bytes| bytes.len() >= LEAST) else { continue };
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        let place =
            [("location", file.to_owned()), ("offset", data.len().to_string()), ("length", bytes.len().to_string())];
        tensor.external_data = place.map(|(key, value)| Entry { key: key.to_owned(), value }).to_vec();
        tensor.data_location = Some(EXTERNAL);
        data.extend(bytes);
    }
    data
}
