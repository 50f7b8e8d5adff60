//! How one value is read from text and shown again; files and flags share it.

/// A type that a key of the configuration may have.
pub trait Value: Sized {
    /// What is accepted, as it stands in `--help` and in errors.
    const ACCEPTS: &'static str;
    /// Whether `-1` means "unset" where the value is optional, as in the published files.
    const MINUS_ONE_IS_UNSET: bool = false;
    /// Whether a flag of this type may stand without a value, which then is `true`.
    const IS_SWITCH: bool = false;

    /// Reads `text`; `None` where it is not of this type.
    fn parse(text: &str) -> Option<Self>;

    /// The value as YAML: [`Value::parse`] of the scalar gives the value back.
    fn show(&self) -> String;
}

impl Value for bool {
    const ACCEPTS: &'static str = "true or false";
    const IS_SWITCH: bool = true;

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const ACCEPTS: &'static str = "a whole number from 0";
    const MINUS_ONE_IS_UNSET: bool = true;

    /// Digits, or a whole number in float notation: the published files write `1e16` and `100000000`.
    fn parse(text: &str) -> Option<Self> {
        /// Every whole f64 below this converts to u64 without change.
        const LIMIT: f64 = 1e19;
        let whole = |x: &f64| (0.0..LIMIT).contains(x) && x.fract() == 0.0;
        text.parse().ok().or_else(|| text.parse().ok().filter(whole).map(|x| x as u64))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const ACCEPTS: &'static str = "a whole number from 0 to 4294967295";
    const MINUS_ONE_IS_UNSET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        u64::parse(text)?.try_into().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for f64 {
    const ACCEPTS: &'static str = "a finite number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|x: &f64| x.is_finite())
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for String {
    const ACCEPTS: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    /// Quoted as JSON does, which YAML's double quotes include.
    fn show(&self) -> String {
        serde_json::Value::from(self.as_str()).to_string()
    }
}

impl<T: Value> Value for Option<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;
    const IS_SWITCH: bool = T::IS_SWITCH;

    fn parse(text: &str) -> Option<Self> {
        let unset = matches!(text, "" | "~" | "null" | "none" | "None") || (T::MINUS_ONE_IS_UNSET && text == "-1");
        if unset { Some(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), Value::show)
    }
}

/// A list of whole numbers.
impl Value for Vec<u32> {
    const ACCEPTS: &'static str = "whole numbers, joined by commas";

    fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|number| u32::parse(number.trim())).collect()
    }

    /// Quoted: an unquoted `1,5` is a number to some readers of YAML.
    fn show(&self) -> String {
        join(self).show()
    }
}

/// One number for each channel: red, green, blue.
impl Value for [f64; 3] {
    const ACCEPTS: &'static str = "three finite numbers, joined by commas (red, green, blue)";

    fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| f64::parse(number.trim())).collect();
        numbers?.try_into().ok()
    }

    fn show(&self) -> String {
        join(self).show()
    }
}

fn join<T: Value>(values: &[T]) -> String {
    values.iter().map(Value::show).collect::<Vec<_>>().join(",")
}

/// Declares an enum whose values are words; case does not matter.
macro_rules! choices {
    ($($(#[$of_type:meta])* $type:ident { $($(#[$of_value:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$of_type])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$of_value])* $value,)+ }

        impl Value for $type {
            const ACCEPTS: &'static str = concat!("one of" $(, " ", $text)+);

            fn parse(text: &str) -> Option<Self> {
                $(if text.eq_ignore_ascii_case($text) { return Some($type::$value); })+
                None
            }

            fn show(&self) -> String {
                match self { $($type::$value => $text,)+ }.to_owned()
            }
        }
    )+};
}

choices! {
    /// What a run does.
    Problem {
        /// Self-supervised pre-training.
        SimClr = "sim-clr",
        /// Linear evaluation of a frozen encoder.
        Eval = "eval",
        /// Fine-tuning on a share of the labels.
        SemiSupervisedEval = "semi-supervised-eval",
        /// Labelled episodes on frozen features.
        FewShotEval = "few-shot-eval",
        /// Self-supervised pre-training without negatives, towards a moving average.
        Byol = "byol",
        /// The same towards the encoder itself, without gradient.
        Simsiam = "simsiam",
    }
    /// Which family the images belong to: decides stem, recipe and size of views.
    Family {
        /// Small images: 3x3 stem, no blur, views of 32 pixels.
        Cifar = "cifar",
        /// Photographs: 7x7 stem, blur, views of 224 pixels.
        Imagenet = "imagenet",
    }
    /// Which network.
    Arch {
        /// torchvision's ResNet-18.
        ResNet18 = "ResNet18",
        /// torchvision's ResNet-50.
        ResNet50 = "ResNet50",
        /// Four blocks of 32 filters, the few-shot standard.
        Conv4 = "Conv4",
        /// Evaluation: a linear layer on the encoder of `encoder_ckpt`.
        Linear = "linear",
    }
    /// Which loss.
    Head {
        /// NT-Xent over the views of a batch.
        Contrastive = "contrastive",
        /// Prototypical network.
        Pn = "PN",
        /// Ridge regression.
        R2d2 = "R2D2",
        /// Crammer-Singer support vector machine.
        Svm = "SVM",
    }
    /// What solves the episodes of a few-shot evaluation.
    FewShotHead {
        /// Nearest prototype.
        Pn = "PN",
        /// Ridge regression.
        R2d2 = "R2D2",
        /// Crammer-Singer support vector machine.
        Svm = "SVM",
        /// Multinomial logistic regression.
        Logistic = "logistic",
        /// One after the other.
        All = "all",
    }
    /// Which optimizer.
    Opt {
        /// SGD with momentum 0.9.
        Sgd = "sgd",
        /// Adam with torch's constants.
        Adam = "adam",
        /// LARS around SGD with momentum 0.9.
        Lars = "lars",
    }
    /// How the learning rate runs.
    LrSchedule {
        /// Linear warm-up, then half a cosine.
        WarmupAnneal = "warmup-anneal",
        /// Linear decay to zero.
        Linear = "linear",
        /// No change.
        Const = "const",
        /// Warm-up, then x0.2 at 95 % and 97.5 % of the run.
        Step = "step",
    }
    /// How processes are laid out.
    Dist {
        /// One process.
        Dp = "dp",
        /// One process per GPU.
        Ddp = "ddp",
    }
    /// How weights start.
    Init {
        /// torchvision's and PyTorch's defaults, which is what the published code in effect does.
        Torch = "torch",
        /// What the published code meant: truncated normal by fan-in, linear layers normal of 0.01.
        Tf = "tf",
    }
    /// Kind of number of the network's forward pass in training.
    Precision {
        /// 32 bits.
        F32 = "f32",
        /// bfloat16.
        Bf16 = "bf16",
        /// float16, with a scaled loss.
        F16 = "f16",
    }
    /// Where views are rendered.
    Augment {
        /// On a GPU where there is one, else on the CPU.
        Auto = "auto",
        /// By the loader's threads.
        Cpu = "cpu",
        /// By kernels; without a GPU the run is refused.
        Cuda = "cuda",
    }
    /// Who expands coefficient records for views that a GPU renders.
    GpuDecode {
        /// Kernels: the records' bytes go to the device.
        Device = "device",
        /// The loader's threads: pixels go to the device.
        Host = "host",
    }
    /// What becomes of samples that are damaged or do not decode.
    Corrupt {
        /// Another sample takes their place.
        Substitute = "substitute",
        /// They end the run.
        Error = "error",
    }
    /// When checksums are compared.
    Verify {
        /// At every read, of what is read.
        Always = "always",
        /// At the first read of each record.
        First = "first",
        /// Not at all.
        Never = "never",
    }
    /// How classes are turned (task augmentation).
    TaskRot {
        /// A turned class takes the upright one's place, with probability `rottlr_p`.
        Replace = "replace",
        /// Each image gives four classes, one per quarter turn.
        Expand = "expand",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_in_float_notation_are_integers_and_others_are_not() {
        assert_eq!(u64::parse("1e16"), Some(10_000_000_000_000_000));
        assert_eq!(u64::parse("1e8"), Some(100_000_000));
        assert_eq!(u64::parse("18446744073709551615"), Some(u64::MAX));
        for text in ["1.5", "-1", "1e30", "nan", "inf", "", "ten", "1e-6"] {
            assert_eq!(u64::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_optional_integer_takes_minus_one_as_unset_and_a_number_does_not() {
        assert_eq!(Option::<u64>::parse("-1"), Some(None));
        assert_eq!(Option::<u64>::parse("7"), Some(Some(7)));
        assert_eq!(Option::<f64>::parse("-1"), Some(Some(-1.0)));
        assert_eq!(Option::<f64>::parse("null"), Some(None));
        assert_eq!(Option::<bool>::parse("-1"), None);
    }

    #[test]
    fn lists_are_joined_by_commas() {
        assert_eq!(Vec::<u32>::parse("1, 5"), Some(vec![1, 5]));
        assert_eq!(vec![1u32, 5].show(), "\"1,5\"");
        assert_eq!(<[f64; 3]>::parse("0.5,0.25,1"), Some([0.5, 0.25, 1.0]));
        assert_eq!(<[f64; 3]>::parse("0.5,0.25,1.0"), <[f64; 3]>::parse([0.5, 0.25, 1.0].show().trim_matches('"')));
        for text in ["1,2", "1,2,3,4", "1,2,x", "1,2,inf", ""] {
            assert_eq!(<[f64; 3]>::parse(text), None, "{text}");
        }
        assert_eq!(Vec::<u32>::parse("1,,5"), None);
    }

    #[test]
    fn what_is_shown_reads_back() {
        for x in [1e-6, 0.1, 4.0, 1e16, f64::MIN_POSITIVE, 1.0 / 3.0] {
            assert_eq!(f64::parse(&x.show()), Some(x));
        }
        assert_eq!("a \"b\"\n".to_owned().show(), r#""a \"b\"\n""#);
        assert_eq!(Head::parse("pn"), Some(Head::Pn));
        assert_eq!(Head::parse(&Head::R2d2.show()), Some(Head::R2d2));
    }
}
