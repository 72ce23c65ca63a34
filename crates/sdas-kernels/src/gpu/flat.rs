//! Many tensors as one buffer: where each starts, and how they get there.

// Launches that check no bounds.
#![allow(unsafe_code)]

use super::kernels::{descent, pack};
use super::run::{Buffer, number};
use super::table::UNITS;
use crate::{Descending, Descent, GradientNorm};
use burn::backend::Cube;
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Elements between the starts of two tensors: a view has to start at a multiple of 256 bytes.
const ALIGNMENT: usize = 64;

/// Tensors that one launch packs at most.
const PACKED: usize = 14;

/// Places of tensors side by side.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) starts: Vec<usize>,
    pub(super) length: usize,
}

impl Places {
    pub(super) fn new(counts: impl IntoIterator<Item = usize>) -> Self {
        let mut places = Places::default();
        for count in counts {
            places.starts.push(places.length);
            places.length += count.next_multiple_of(ALIGNMENT);
        }
        places
    }
}

/// A tensor over a buffer, from an element on.
pub(super) fn view(like: &CubeTensor, buffer: &Buffer, start: usize, shape: impl Into<Shape>) -> CubeTensor {
    let shape = shape.into();
    let (size, length) = (buffer.handle.size_in_used(), shape.num_elements());
    let end = 4 * (start + length) as u64;
    let handle = buffer.handle.clone().offset_start(4 * start as u64).offset_end(size - end);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

/// The buffer that tensors are views of, if they lie at these starts already.
fn side_by_side(tensors: &[CubeTensor], starts: &[usize]) -> Option<Buffer> {
    let [first, .., last] = tensors else { return None };
    let place = |tensor: &CubeTensor| tensor.handle.offset_start.unwrap_or(0);
    let fits = tensors.iter().zip(starts).all(|(tensor, start)| {
        tensor.handle.memory.descriptor() == first.handle.memory.descriptor()
            && place(tensor) == place(first) + 4 * (start - starts[0]) as u64
    });
    let mut whole = first.handle.clone();
    whole.offset_end = last.handle.offset_end;
    (fits && starts[0] == 0).then_some(Buffer::from(whole))
}

/// Tensors side by side, each at its start, zeros between them.
pub(super) fn packed(client: &Client, tensors: &[CubeTensor], starts: &[usize], length: usize) -> Buffer {
    side_by_side(tensors, starts).unwrap_or_else(|| copied(client, tensors, starts, length))
}

/// As [`packed`], but always a copy.
pub(super) fn copied(client: &Client, tensors: &[CubeTensor], starts: &[usize], length: usize) -> Buffer {
    let to = Buffer::new(client, length);
    let most = (client.properties().hardware.max_bindings as usize).saturating_sub(2).clamp(1, PACKED);
    let most = most.min(tensors.len().next_power_of_two());
    for (chunk, tensors) in tensors.chunks(most).enumerate() {
        let start = |index: usize| starts.get(index).copied().unwrap_or(length);
        let counts = tensors.iter().map(|tensor| tensor.meta.num_elements());
        let mut places: Vec<usize> = counts
            .enumerate()
            .flat_map(|(index, count)| {
                let index = chunk * most + index;
                [start(index), start(index) + count, start(index + 1)]
            })
            .collect();
        // Always as many, so that there is one kernel; what is too much has no elements.
        places.resize(3 * most, 0);
        let longest = places.chunks_exact(3).map(|place| place[2] - place[0]).max().unwrap_or(1).max(1);
        let last = tensors.last().expect("chunks are not empty");
        let all = tensors.iter().chain(std::iter::repeat(last)).take(most);
        let arguments = all.map(|tensor| Buffer::from(tensor.handle.clone()).argument()).collect();
        // SAFETY: the places are those of the tensors' elements, which fit into the buffer side by side.
        unsafe {
            pack::pack::launch_unchecked(
                client,
                CubeCount::new_2d(longest.div_ceil(UNITS) as u32, most as u32),
                CubeDim::new_1d(UNITS as u32),
                arguments,
                to.argument(),
                uploaded(client, places).argument(),
            );
        }
    }
    to
}

/// Copies so many elements into another buffer, to its beginning.
pub(super) fn copy(client: &Client, from: &Buffer, to: &Buffer, count: usize) {
    copy_to(client, from, to, 0, count);
}

/// As [`copy`], but to where the element `start` is.
pub(super) fn copy_to(client: &Client, from: &Buffer, to: &Buffer, start: usize, count: usize) {
    // SAFETY: the buffers are as long as is said.
    unsafe {
        pack::copy::launch_unchecked(
            client,
            CubeCount::new_1d(count.div_ceil(UNITS) as u32),
            CubeDim::new_1d(UNITS as u32),
            from.argument(),
            to.argument(),
            start,
            count,
        );
    }
}

/// Copies a node's pixels to another place in the buffer of the nodes, where their `parts` are mingled. Places, in elements,
/// are where the first pixel lies and from one to the next.
pub(super) fn mingle(
    client: &Client,
    nodes: &Buffer,
    [from, to]: [(usize, usize); 2],
    [channels, parts]: [usize; 2],
    pixels: usize,
) {
    let count = pixels * channels;
    // SAFETY: both places are the buffer's.
    unsafe {
        pack::mingle::launch_unchecked(
            client,
            CubeCount::new_1d(count.div_ceil(UNITS) as u32),
            CubeDim::new_1d(UNITS as u32),
            nodes.argument(),
            from.0,
            from.1,
            to.0,
            to.1,
            channels,
            parts,
            count,
        );
    }
}

/// Places by their device.
type Uploaded = HashMap<(u64, Vec<i32>), Buffer>;

static UPLOADED: LazyLock<Mutex<Uploaded>> = LazyLock::new(Mutex::default);

/// Places on the device, where the same few are asked for over and over.
fn uploaded(client: &Client, places: Vec<usize>) -> Buffer {
    let places: Vec<i32> = places.into_iter().map(|place| place as i32).collect();
    let bytes: Vec<u8> = places.iter().flat_map(|place| place.to_ne_bytes()).collect();
    let mut all = UPLOADED.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry((number(client), places)).or_insert_with(|| Buffer::from(client.create_from_slice(&bytes))).clone()
}

/// Forgets what was uploaded so far.
pub(super) fn forget_places() {
    UPLOADED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The tensors, if a graphics card has them.
pub(super) fn primitives(tensors: &[Tensor<1>]) -> Option<Vec<CubeTensor>> {
    let primitive = |tensor: &Tensor<1>| {
        let single = tensor.dtype() == DType::F32;
        let tensor = tensor.clone().try_into_primitive::<Cube>().ok().filter(|_| single)?;
        Some(into_contiguous(tensor))
    };
    tensors.iter().map(primitive).collect()
}

fn places(tensors: &[CubeTensor]) -> Places {
    Places::new(tensors.iter().map(|tensor| tensor.meta.num_elements()))
}

fn tensors(like: &[CubeTensor], places: &Places, buffer: &Buffer) -> Vec<Tensor<1>> {
    let of = |(tensor, start): (&CubeTensor, &usize)| {
        Tensor::from_primitive::<Cube>(view(tensor, buffer, *start, [tensor.meta.num_elements()]))
    };
    like.iter().zip(&places.starts).map(of).collect()
}

/// Sums of squares, of which the root is the norm of all tensors together.
pub(crate) fn squares(all: &[Tensor<1>]) -> Option<Tensor<1>> {
    let all = primitives(all).filter(|all| !all.is_empty())?;
    let (places, client) = (places(&all), all[0].client.clone());
    let values = packed(&client, &all, &places.starts, places.length);
    let parts = places.length.div_ceil(descent::PART);
    let sums = Buffer::new(&client, parts);
    // SAFETY: the buffers are as long as is said.
    unsafe {
        descent::squares::launch_unchecked(
            &client,
            CubeCount::new_1d(parts as u32),
            CubeDim::new_1d(UNITS as u32),
            values.argument(),
            sums.argument(),
            places.length,
        );
    }
    Some(Tensor::from_primitive::<Cube>(view(&all[0], &sums, 0, [parts])))
}

/// Where among tensors side by side the elements lie that do not decay: pairs of begin and end, in their order.
fn undecayed(all: &[Descending], places: &Places) -> Vec<usize> {
    let of = |(one, &start): (&Descending, &usize)| {
        one.undecayed.iter().flat_map(|range| [start + range.start, start + range.end]).collect::<Vec<_>>()
    };
    all.iter().zip(&places.starts).flat_map(of).collect()
}

/// [`Descent::step`].
pub(crate) fn step(by: Descent, all: &[Descending], norm: &GradientNorm) -> Option<Vec<[Tensor<1>; 2]>> {
    let GradientNorm::Squares(sums) = norm else { return None };
    let sums = primitives(std::slice::from_ref(sums))?.swap_remove(0);
    let of =
        |get: fn(&Descending) -> &Tensor<1>| primitives(&all.iter().map(|one| get(one).clone()).collect::<Vec<_>>());
    let weights = of(|one| &one.weights).filter(|weights| !weights.is_empty())?;
    let (momentum, gradient) = (of(|one| &one.momentum)?, of(|one| &one.gradient)?);
    let (places, client) = (places(&weights), weights[0].client.clone());
    let [w, m, g] =
        [&weights, &momentum, &gradient].map(|tensors| packed(&client, tensors, &places.starts, places.length));
    let after = [0, 1].map(|_| Buffer::new(&client, places.length));
    let scale = Buffer::new(&client, 1);
    let mut undecayed = undecayed(all, &places);
    let ranges = undecayed.len() / 2;
    // A buffer cannot be empty.
    undecayed.resize(undecayed.len().max(2), 0);
    // SAFETY: the buffers are as long as is said.
    unsafe {
        descent::scale::launch_unchecked(
            &client,
            CubeCount::new_1d(1),
            CubeDim::new_1d(UNITS as u32),
            Buffer::from(sums.handle.clone()).argument(),
            scale.argument(),
            sums.meta.num_elements(),
            by.clip as f32,
        );
        descent::step::launch_unchecked(
            &client,
            CubeCount::new_1d(places.length.div_ceil(UNITS) as u32),
            CubeDim::new_1d(UNITS as u32),
            w.argument(),
            m.argument(),
            g.argument(),
            after[0].argument(),
            after[1].argument(),
            scale.argument(),
            uploaded(&client, undecayed).argument(),
            places.length,
            ranges,
            by.weight_decay,
            by.momentum,
            by.rate,
            by.nesterov,
        );
    }
    let [w, m] = after.map(|buffer| tensors(&weights, &places, &buffer));
    Some(w.into_iter().zip(m).map(|(w, m)| [w, m]).collect())
}

/// [`crate::approach`].
pub(crate) fn approach(own: &[Tensor<1>], target: &[Tensor<1>], share: f32) -> Option<Vec<Tensor<1>>> {
    let own = primitives(own).filter(|own| !own.is_empty())?;
    let target = primitives(target)?;
    let (places, client) = (places(&own), own[0].client.clone());
    let [from, to] = [&own, &target].map(|tensors| packed(&client, tensors, &places.starts, places.length));
    let after = Buffer::new(&client, places.length);
    // SAFETY: the buffers are as long as is said.
    unsafe {
        descent::approach::launch_unchecked(
            &client,
            CubeCount::new_1d(places.length.div_ceil(UNITS) as u32),
            CubeDim::new_1d(UNITS as u32),
            from.argument(),
            to.argument(),
            after.argument(),
            places.length,
            share,
        );
    }
    Some(tensors(&own, &places, &after))
}
