//! Architecture and stem of a backbone, by the names and shapes of its tensors.

use std::path::Path;

use super::ExchangeError;
use super::names::Shapes;
use crate::config::Arch;
use crate::nn::Stem;

/// Blocks of the four layers of the known ResNets.
const RESNETS: [(&str, [usize; 4], bool, Option<Arch>); 5] = [
    ("ResNet18", [2, 2, 2, 2], false, Some(Arch::ResNet18)),
    ("ResNet34", [3, 4, 6, 3], false, None),
    ("ResNet50", [3, 4, 6, 3], true, Some(Arch::ResNet50)),
    ("ResNet101", [3, 4, 23, 3], true, None),
    ("ResNet152", [3, 8, 36, 3], true, None),
];

/// What the backbone with these tensors, by torchvision's names, is.
pub(super) fn identify(path: &Path, shapes: &Shapes) -> Result<(Arch, Stem), ExchangeError> {
    let has = |name: &str| shapes.contains_key(name);
    let kernel = match shapes.get("conv1.weight").map(Vec::as_slice) {
        Some(&[_, 3, kernel, _]) => kernel,
        other => return Err(ExchangeError::tensor(path, "conv1.weight", format!("{other:?} is no first convolution"))),
    };
    if has("conv4.weight") {
        return Ok((Arch::Conv4, Stem::Cifar));
    }
    let blocks = [1, 2, 3, 4].map(|layer| (0..).take_while(|n| has(&format!("layer{layer}.{n}.conv1.weight"))).count());
    let bottleneck = has("layer1.0.conv3.weight");
    let arch = match RESNETS.iter().find(|(_, known, deep, _)| *known == blocks && *deep == bottleneck) {
        Some((_, _, _, Some(arch))) => *arch,
        Some((name, ..)) => return Err(unknown(path, &format!("a {name}"))),
        None => return Err(unknown(path, &format!("layers of {blocks:?} blocks"))),
    };
    match kernel {
        3 => Ok((arch, Stem::Cifar)),
        7 => Ok((arch, Stem::ImageNet)),
        _ => {
            let what =
                format!("a first convolution of {kernel}x{kernel}; stems of 3x3 (CIFAR) and 7x7 (ImageNet) are known");
            Err(ExchangeError::tensor(path, "conv1.weight", what))
        }
    }
}

fn unknown(path: &Path, what: &str) -> ExchangeError {
    ExchangeError::backbone(path, format!("{what}: this program knows ResNet18, ResNet50 and Conv4"))
}
