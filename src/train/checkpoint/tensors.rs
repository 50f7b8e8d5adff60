//! Tensors as bytes and back.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use tch::{Kind, TchError, Tensor};

use super::{CheckpointError, Result};

/// Kinds of tensors that are kept, with safetensors' name for each.
const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Bool, Dtype::BOOL),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
    (Kind::Int16, Dtype::I16),
    (Kind::Int, Dtype::I32),
    (Kind::Int64, Dtype::I64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
];

/// A tensor's content in host memory.
pub(in crate::train) struct Stored {
    pub(in crate::train) name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    /// Copies `tensor` to the host; `path` is for errors.
    pub(in crate::train) fn of(path: &Path, name: String, tensor: &Tensor) -> Result<Stored> {
        let kind = tensor.kind();
        let Some(&(_, dtype)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            return Err(CheckpointError::Kind { path: path.to_owned(), name, kind: format!("{kind:?}") });
        };
        let failed = |reason: TchError| CheckpointError::Tensor {
            path: path.to_owned(),
            name: name.clone(),
            reason: reason.to_string(),
        };
        let host =
            tensor.detach().f_to_device(tch::Device::Cpu).and_then(|host| host.f_contiguous()).map_err(failed)?;
        let mut bytes = vec![0; host.numel() * kind.elt_size_in_bytes()];
        host.f_copy_data_u8(&mut bytes, host.numel()).map_err(failed)?;
        let shape = host.size().iter().map(|&side| side.unsigned_abs() as usize).collect();
        Ok(Stored { name, dtype, shape, bytes })
    }

    pub(in crate::train) fn view(&self) -> std::result::Result<TensorView<'_>, SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}

/// The tensor that `view` shows, copied.
pub(in crate::train) fn tensor(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let Some(&(kind, _)) = KINDS.iter().find(|(_, known)| *known == view.dtype()) else {
        let kind = format!("{:?}", view.dtype());
        return Err(CheckpointError::Kind { path: path.to_owned(), name: name.to_owned(), kind });
    };
    // safetensors has checked the shape against the bytes, so each side fits; a zero-sized tensor's other sides may be anything.
    let shape: Vec<i64> = view.shape().iter().map(|&side| i64::try_from(side).unwrap_or(i64::MAX)).collect();
    let failed = |reason: TchError| CheckpointError::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        reason: reason.to_string(),
    };
    Tensor::f_from_data_size(view.data(), &shape, kind).map_err(failed)
}
