//! Which graphics adapters there are, and whether the scan's kernels can run on them.

use super::TileShape;
use crate::base::{Error, Result};
use serde::Serialize;
use std::sync::OnceLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterKind {
    Discrete,
    Integrated,
    /// Of a virtual machine.
    Virtual,
    Other,
    /// Computes on the processor: for tests.
    Software,
}

impl AdapterKind {
    pub fn label(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        }
    }
}

/// What a user sees of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterFacts {
    /// `N` of `gpu:N`.
    pub index: usize,
    pub name: String,
    /// `Vulkan`, `Metal` or `DX12`.
    pub backend: String,
    pub kind: AdapterKind,
    pub driver: String,
    /// Longest buffer, and longest part of one that a kernel can see.
    pub max_buffer_bytes: u64,
    pub max_binding_bytes: u64,
    pub workgroup_bytes: u32,
    /// Why the kernels cannot run here.
    pub problem: Option<String>,
}

impl AdapterFacts {
    pub fn is_software(&self) -> bool {
        self.kind == AdapterKind::Software
    }
    /// `NVIDIA H200 (Vulkan, NVIDIA 580.159)`
    pub fn title(&self) -> String {
        let software = if self.is_software() { ", software" } else { "" };
        let driver = if self.driver.is_empty() { String::new() } else { format!(", {}", self.driver) };
        format!("{} ({}{driver}{software})", self.name, self.backend)
    }
}

/// An adapter of this machine.
pub struct AdapterEntry {
    pub facts: AdapterFacts,
    pub(super) adapter: wgpu::Adapter,
}

/// All adapters, real cards first. Asked of the drivers once a process: the list then stays as it was.
pub fn adapters() -> &'static [AdapterEntry] {
    static FOUND: OnceLock<Vec<AdapterEntry>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        // Validation layers slow every call down; naga has checked the kernels.
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let mut found: Vec<(AdapterFacts, wgpu::Adapter)> = found.into_iter().map(|a| (facts(&a), a)).collect();
        found.sort_by_key(|(f, _)| f.kind);
        found
            .into_iter()
            .enumerate()
            .map(|(index, (facts, adapter))| AdapterEntry { facts: AdapterFacts { index, ..facts }, adapter })
            .collect()
    })
}

/// Whether asking the drivers could find a real card: on Linux a card has a device file. Asking wakes every driver there is, takes a tenth of a
/// second, and some of them talk on stderr.
pub fn may_have_card() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let any = |folder: &str, begins: &[&str]| {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        names.into_iter().any(|n| begins.iter().any(|b| n.starts_with(b)))
    };
    any("/dev/dri", &["renderD", "card"]) || any("/dev", &["nvidia", "dxg", "kgsl", "mali"])
}

/// The adapter of `--device gpu` (the first that works) or `--device gpu:N`.
///
/// # Errors
/// When there is none, or it cannot run the kernels; says what there is.
pub fn find(index: Option<usize>) -> Result<&'static AdapterEntry> {
    let all = adapters();
    let list = || all.iter().map(|a| format!("gpu:{} {}", a.facts.index, a.facts.title())).collect::<Vec<_>>().join("; ");
    if all.is_empty() {
        return Err(Error::device("gpu", "this machine shows no graphics adapter (Vulkan, Metal or DirectX 12); use --device cpu"));
    }
    let found = match index {
        Some(n) => {
            all.get(n).ok_or_else(|| Error::device(format!("gpu:{n}"), format!("there is no such adapter; there are {}", list())))?
        }
        None => all.iter().find(|a| a.facts.problem.is_none()).unwrap_or(&all[0]),
    };
    match &found.facts.problem {
        None => Ok(found),
        Some(problem) => Err(Error::device(found.facts.title(), format!("{problem}; use another of {}, or --device cpu", list()))),
    }
}

fn facts(adapter: &wgpu::Adapter) -> AdapterFacts {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Other,
    };
    let backend = match info.backend {
        wgpu::Backend::Vulkan => "Vulkan".to_owned(),
        wgpu::Backend::Metal => "Metal".to_owned(),
        wgpu::Backend::Dx12 => "DX12".to_owned(),
        other => format!("{other:?}"),
    };
    let driver = [info.driver.trim(), info.driver_info.trim()].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
    AdapterFacts {
        index: 0,
        name: info.name.trim().to_owned(),
        backend,
        kind,
        driver,
        max_buffer_bytes: limits.max_buffer_size,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
        problem: problem(&limits, compute),
    }
}

/// Buffers that the tile kernel reads and writes.
pub(super) const STORAGE_BUFFERS: u32 = 8;
/// Threads of a workgroup.
pub(super) const THREADS: u32 = 256;
/// Below this a job would be cut into crumbs.
const LEAST_BINDING: u64 = 64 << 20;

fn problem(limits: &wgpu::Limits, compute: bool) -> Option<String> {
    if !compute {
        return Some("it runs no compute kernels".into());
    }
    let short = |what: &str, has: u64, needs: u64| (has < needs).then(|| format!("{what}: {has}, and the kernels need {needs}"));
    short("storage buffers of a kernel", limits.max_storage_buffers_per_shader_stage.into(), STORAGE_BUFFERS.into())
        .or_else(|| short("threads of a workgroup", limits.max_compute_invocations_per_workgroup.into(), THREADS.into()))
        .or_else(|| short("threads across a workgroup", limits.max_compute_workgroup_size_x.into(), THREADS.into()))
        .or_else(|| {
            let needs = TileShape::SMALL.workgroup_bytes();
            short("bytes of workgroup memory", limits.max_compute_workgroup_storage_size.into(), needs.into())
        })
        .or_else(|| short("bytes of a storage buffer", limits.max_storage_buffer_binding_size.min(limits.max_buffer_size), LEAST_BINDING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_is_too_small_says_what_it_lacks() {
        let good = wgpu::Limits { max_storage_buffer_binding_size: 128 << 20, ..wgpu::Limits::default() };
        assert_eq!(problem(&good, true), None);
        assert!(problem(&good, false).is_some_and(|p| p.contains("compute")));
        let four = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..good.clone() };
        assert_eq!(problem(&four, true).as_deref(), Some("storage buffers of a kernel: 4, and the kernels need 8"));
        let tiny = wgpu::Limits { max_storage_buffer_binding_size: 1 << 20, ..good };
        assert!(problem(&tiny, true).is_some_and(|p| p.contains("bytes of a storage buffer")));
    }

    #[test]
    fn a_number_too_high_is_an_error_that_lists_what_there_is() {
        let message = find(Some(99)).map(|a| a.facts.title()).expect_err("no 99 adapters").to_string();
        assert!(message.contains("gpu:99") || message.contains("no graphics adapter"), "{message}");
    }

    #[test]
    fn titles_name_driver_and_software() {
        let facts = AdapterFacts {
            index: 0,
            name: "llvmpipe".into(),
            backend: "Vulkan".into(),
            kind: AdapterKind::Software,
            driver: "llvmpipe Mesa 22".into(),
            max_buffer_bytes: 0,
            max_binding_bytes: 0,
            workgroup_bytes: 0,
            problem: None,
        };
        assert_eq!(facts.title(), "llvmpipe (Vulkan, llvmpipe Mesa 22, software)");
        let bare = AdapterFacts { driver: String::new(), kind: AdapterKind::Discrete, ..facts };
        assert_eq!(bare.title(), "llvmpipe (Vulkan)");
    }
}
