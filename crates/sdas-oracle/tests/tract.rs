//! The models that `cargo test --release --workspace --test export` leaves, computed by tract: the logits are ours.

use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};
use tract_onnx::prelude::*;

/// The largest difference of logits that rounding explains, by the largest logit.
const TOLERANCE: f32 = 1e-5;

fn cases() -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/onnx");
    std::env::var_os("SDAS_ONNX_CASES").map_or_else(usual, PathBuf::from)
}

/// What there is of a tensor for so many samples.
fn part(file: &SafeTensors<'_>, name: &str, batch: usize) -> TractResult<Tensor> {
    let view = file.tensor(name)?;
    let mut shape = view.shape().to_vec();
    let bytes = &view.data()[..view.data().len() / shape[0] * batch];
    shape[0] = batch;
    match view.dtype() {
        Dtype::U8 => Tensor::from_shape(&shape, bytes),
        _ => {
            let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            Tensor::from_shape(&shape, &values)
        }
    }
}

fn floats(tensor: &Tensor) -> TractResult<Vec<f32>> {
    Ok(tensor.to_plain_array_view::<f32>()?.iter().copied().collect())
}

/// The largest difference of logits by the largest logit, of one sample, of the whole batch, and of samples of another size.
fn difference(model: &Path) -> TractResult<f32> {
    let bytes = std::fs::read(model.with_extension("safetensors"))?;
    let case = SafeTensors::deserialize(&bytes)?;
    // As it is: the optimiser of tract 0.23 fails on convolutions over clips that have a stride in time alone.
    let runnable = tract_onnx::onnx().model_for_path(model)?.into_typed()?.into_runnable()?;
    let mut most = 0f32;
    for (which, batch) in [("", 1), ("", 3), ("2", 3)] {
        if case.tensor(&format!("x{which}")).is_err() {
            continue;
        }
        let given = runnable.run(tvec!(part(&case, &format!("x{which}"), batch)?.into()))?;
        let (given, expected) = (floats(&given[0])?, floats(&part(&case, &format!("logits{which}"), batch)?)?);
        assert_eq!(given.len(), expected.len(), "{}", model.display());
        let largest = expected.iter().fold(0f32, |most, value| value.abs().max(most));
        let difference = given.iter().zip(&expected).fold(0f32, |most, (a, b)| {
            let difference = (a - b).abs();
            if difference.is_nan() { f32::INFINITY } else { difference.max(most) }
        });
        most = most.max(if difference == 0.0 { 0.0 } else { difference / largest });
    }
    Ok(most)
}

#[test]
fn logits_are_ours() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in ["layers", "cells", "settings"] {
        let folder = cases().join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("{}: {error}; first run cargo test --release --workspace --test export", folder.display())
        });
        let mut models: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
        models.sort();
        for model in models {
            let name = model.file_stem().unwrap().to_string_lossy().into_owned();
            count += 1;
            match difference(&model) {
                Ok(difference) if difference <= TOLERANCE => {}
                Ok(difference) => wrong.push(format!("{name}: logits differ by {difference:.1e}")),
                Err(error) => wrong.push(format!("{name}: {error:#}")),
            }
        }
    }
    assert!(count > 100, "{count} cases are not all that there are");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
