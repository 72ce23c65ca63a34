//! NVIDIA's cards, as their driver tells of them.
#![allow(unsafe_code)]

use super::{Card, CardKind, CardMemory, Found, Interface, Lack};
use cubecl::cuda::install::cuda_path;
use cudarc::driver::result::{device, init};
use cudarc::driver::sys::{CUresult, is_culib_present as has_driver};
use cudarc::driver::{CudaContext, DriverError};
use cudarc::nvrtc::sys::is_culib_present as has_compiler;
use std::path::{Path, PathBuf};

pub(super) fn find() -> Found {
    match cards() {
        Ok(cards) => Found { cards, lack: lack() },
        Err(lack) => Found { cards: Vec::new(), lack: Some(lack) },
    }
}

fn cards() -> Result<Vec<Card>, Lack> {
    // SAFETY: it loads the driver, whose library does nothing before it is called.
    if !unsafe { has_driver() } {
        return Err(Lack::Driver);
    }
    init().map_err(refused)?;
    let count = device::get_count().map_err(refused)?.max(0) as usize;
    let cards = (0..count).map(card).collect::<Result<Vec<_>, _>>().map_err(refused)?;
    if cards.is_empty() { Err(Lack::Card) } else { Ok(cards) }
}

fn card(index: usize) -> Result<Card, DriverError> {
    let handle = device::get(index as i32)?;
    // SAFETY: the driver has just given the handle.
    let total = unsafe { device::total_mem(handle) }.ok().map(|bytes| bytes as u64);
    let memory = CardMemory { total, free: None };
    Ok(Card { interface: Interface::Cuda, name: device::get_name(handle)?, kind: CardKind::Discrete, index, memory })
}

fn refused(error: DriverError) -> Lack {
    let text =
        |text: Result<&std::ffi::CStr, _>| text.map_or(String::new(), |text| text.to_string_lossy().into_owned());
    match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => Lack::Card,
        _ => Lack::Start { message: format!("{} ({})", text(error.error_string()), text(error.error_name())) },
    }
}

/// Memory of the card, which is brought up for it.
pub(super) fn memory(index: usize) -> CardMemory {
    let told = CudaContext::new(index).and_then(|context| context.mem_get_info());
    told.map_or(CardMemory::default(), |(free, total)| CardMemory {
        total: Some(total as u64),
        free: Some(free as u64),
    })
}

/// What is missing to compile kernels.
fn lack() -> Option<Lack> {
    let root = cuda_path();
    // SAFETY: it loads NVRTC, which does nothing before it is called.
    let is_there = unsafe { has_compiler() } || root.as_deref().is_some_and(load_compiler);
    if !is_there {
        let looked: Vec<_> = root.iter().flat_map(|root| folders(root)).collect();
        return Some(Lack::Compiler { name: library(), looked: places(&looked) });
    }
    let headers = root.map(|root| root.join("include"));
    match headers {
        Some(headers) if headers.is_dir() => None,
        Some(headers) => Some(Lack::Headers { looked: headers.display().to_string() }),
        None => Some(Lack::Headers { looked: "/usr/local/cuda/include".to_owned() }),
    }
}

/// As this system names the compiler.
fn library() -> String {
    format!("{}nvrtc{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// Where a toolkit has its libraries.
fn folders(root: &Path) -> [PathBuf; 4] {
    ["lib64", "lib", "targets/x86_64-linux/lib", "bin"].map(|folder| root.join(folder))
}

fn places(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "/usr/local/cuda/lib64".to_owned();
    }
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Loads NVRTC from the toolkit, where the system would not look for it. From then on it is found by its name.
fn load_compiler(root: &Path) -> bool {
    let names = cudarc::get_lib_name_candidates("nvrtc");
    let files = folders(root).into_iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let loaded = files.filter(|file| file.is_file()).any(|file| {
        // SAFETY: NVRTC does nothing before it is called. It stays where it is until the program ends.
        unsafe { libloading::Library::new(file) }.map(std::mem::forget).is_ok()
    });
    // SAFETY: as above.
    loaded && unsafe { has_compiler() }
}
