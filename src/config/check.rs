//! What is refused: values out of range, keys at odds.

use super::error::{ConfigError, Origin};
use super::keys::Config;
use super::resolve::Origins;
use super::value::{Arch, Head, Problem, TaskRot};

/// Checks a resolved config; `origins` says where its values were given.
pub(super) fn check(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    let check = Check { config, origins };
    check.run()?;
    check.optimizer()?;
    check.processes()?;
    match config.problem {
        Problem::SimClr | Problem::Byol | Problem::Simsiam => {
            check.views()?;
            check.head()?;
            check.bootstrap()?;
            check.tricks()
        }
        Problem::Eval | Problem::SemiSupervisedEval => check.evaluation().and_then(|()| check.labels()),
        Problem::FewShotEval => check.evaluation().and_then(|()| check.episodes()),
    }
}

struct Check<'a> {
    config: &'a Config,
    origins: &'a Origins,
}

impl Check<'_> {
    /// An error that names `key`, its value and where it was given, unless `holds`.
    fn need(&self, holds: bool, key: &'static str, rule: impl Into<String>) -> Result<(), ConfigError> {
        if holds {
            return Ok(());
        }
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        Err(ConfigError::Rule { origin, key, value: self.text(key), rule: rule.into() })
    }

    /// The value of `key` as YAML.
    fn text(&self, key: &str) -> String {
        self.config.entries().into_iter().find(|(name, _)| *name == key).map_or_else(String::new, |(_, value)| value)
    }

    fn run(&self) -> Result<(), ConfigError> {
        let c = self.config;
        let trains = c.problem != Problem::FewShotEval;
        self.need(!trains || c.iters.is_some_and(|iters| iters > 0), "iters", "a run needs at least 1: give --iters")?;
        let frequencies = [("log_freq", c.log_freq), ("eval_freq", c.eval_freq), ("save_freq", c.save_freq)];
        for (key, frequency) in frequencies {
            self.need(frequency > 0, key, "it counts steps, from 1 (1e16: never)")?;
        }
        self.need((0.0..=1.0).contains(&c.max_corrupt), "max_corrupt", "it is a share of the samples, 0 to 1")?;
        self.need(c.keep_checkpoints > 0, "keep_checkpoints", "at least 1 is kept")?;
        self.need(c.eval_samples != Some(0), "eval_samples", "at least 1 is needed")?;
        self.need(c.max_pixels > 0, "max_pixels", "an image has at least 1")?;
        self.need(c.test_bs > 0, "test_bs", "at least 1 is needed")?;
        self.need((8..=4096).contains(&c.image_size()), "image_size", "it must lie in 8..=4096 pixels")?;
        self.need(
            c.run_id.as_deref().is_none_or(is_word),
            "run_id",
            "it must be one word of letters, digits, . _ and -",
        )
    }

    fn optimizer(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need(c.lr >= 0.0, "lr", "it must not be negative")?;
        self.need(c.weight_decay >= 0.0, "weight_decay", "it must not be negative")?;
        self.need((0.0..=1.0).contains(&c.warmup), "warmup", "it is a share of iters, 0 to 1")?;
        self.need(c.accu_iter > 0, "accu_iter", "at least 1 micro-batch makes an update")?;
        let limit = c.clip_grad_norm.is_none_or(|norm| norm > 0.0);
        self.need(limit, "clip_grad_norm", "it must be above 0; leave it out for no limit")
    }

    fn processes(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need(
            c.workers.is_none_or(|workers| (1..=1024).contains(&workers)),
            "workers",
            "1 to 1024 threads can decode",
        )?;
        self.need(c.threads.is_none_or(|n| (1..=1024).contains(&n)), "threads", "1 to 1024 are possible")?;
        self.need(c.nproc != Some(0), "nproc", "at least 1 is needed")?;
        self.need(c.world_size > 0, "world_size", "at least 1 machine is needed")?;
        self.need(c.node_rank < c.world_size, "node_rank", format!("it must be below world_size {}", c.world_size))?;
        // The published files leave the address empty where there is one machine.
        let address =
            c.dist_address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        self.need(address || c.dist_address.is_empty(), "dist_address", "HOST:PORT is needed")?;
        // Fewer than 4 periods of their signs of life (dist::c10d) are none; a week is more than any step takes.
        self.need(
            (2..=604_800).contains(&c.dist_timeout),
            "dist_timeout",
            "2 seconds to a week (604800) are possible",
        )?;
        let processes = u64::from(c.machines()) * u64::from(c.nproc.unwrap_or(1));
        match c.batch_share(processes) {
            Err(ConfigError::Rule { key, rule, .. }) if c.pretrains() => self.need(false, key, rule),
            _ => Ok(()),
        }
    }

    fn views(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need(c.arch != Arch::Linear, "arch", "that is for evaluation: give ResNet18, ResNet50 or Conv4")?;
        self.need(c.views() <= 256, "multiplier", "at most 256 views of an image are made")?;
        self.need(c.batch_size >= 2, "batch_size", "a task needs at least 2 images to tell apart")?;
        let scales = [
            ("scale_lower", Some(c.scale_lower)),
            ("supp_scale_lower", c.supp_scale_lower),
            ("query_scale_lower", c.query_scale_lower),
        ];
        for (key, scale) in scales {
            self.need(
                scale.is_none_or(|x| x > 0.0 && x <= 1.0),
                key,
                "it is a share of the image, above 0 and up to 1",
            )?;
        }
        let strengths = [
            ("color_dist_s", Some(c.color_dist_s)),
            ("supp_color_dist_s", c.supp_color_dist_s),
            ("query_color_dist_s", c.query_color_dist_s),
        ];
        for (key, strength) in strengths {
            self.need(
                strength.is_none_or(|x| (0.0..=2.5).contains(&x)),
                key,
                "it must lie in 0..=2.5: the hue turns by 0.2 of it",
            )?;
        }
        for (key, share) in [("blur", c.blur), ("supp_blur", c.supp_blur), ("query_blur", c.query_blur)] {
            self.need(share.is_none_or(|x| (0.0..=1.0).contains(&x)), key, "it is a probability, 0 to 1")?;
        }
        self.need(c.rottlr_p <= 1.0, "rottlr_p", "it is a probability, up to 1 (0 or less: off)")?;
        let clash = c.task_rot == TaskRot::Expand && c.rottlr_p > 0.0;
        self.need(!clash, "rottlr_p", "task_rot expand makes all four turns: leave rottlr_p out")
    }

    fn head(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need(c.temperature() > 0.0, "temperature", "it must be above 0")?;
        if !c.is_meta_head() {
            let rule = format!("{} compares at least 2 views", c.objective_name());
            return self.need(c.views() >= 2, "multiplier", rule);
        }
        self.need(c.n_supp > 0, "n_supp", "a class needs at least 1 support view")?;
        self.need(c.n_query > 0, "n_query", "a class needs at least 1 query view")?;
        let shots = u64::from(c.n_supp) + u64::from(c.n_query);
        let rule = format!("head {} needs n_supp + n_query = {shots}: give --multiplier {shots}", self.text("head"));
        self.need(u64::from(c.views()) == shots, "multiplier", rule)?;
        match c.head {
            Head::R2d2 => self.need(c.reg >= 0.0, "reg", "the ridge must not be negative"),
            Head::Svm => {
                let classes = c.batch_size.saturating_mul(if c.task_rot == TaskRot::Expand { 4 } else { 1 });
                let tasks = u64::from(c.svm_tasks);
                let rule = format!("it must divide the batch's {classes} classes into tasks of at least 2");
                let fits = tasks > 0 && classes.is_multiple_of(tasks) && classes / tasks >= 2;
                self.need(fits, "svm_tasks", rule)
            }
            _ => Ok(()),
        }
    }

    fn bootstrap(&self) -> Result<(), ConfigError> {
        let c = self.config;
        if !c.has_bootstrap_loss() {
            return Ok(());
        }
        let rule = format!("problem {} has a loss of its own: leave head out", self.text("problem"));
        self.need(c.head == Head::Contrastive, "head", rule)?;
        for (key, units) in [("byol_hidden", c.byol_hidden()), ("byol_width", c.byol_width)] {
            // The predictor of simsiam has a quarter of the width.
            self.need((4..=65536).contains(&units), key, "it must lie in 4..=65536")?;
        }
        self.need((0.0..=1.0).contains(&c.byol_momentum), "byol_momentum", "it is a share, 0 to 1")
    }

    fn tricks(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need(c.ori_reg >= 0.0, "ori_reg", "it must not be negative")?;
        self.need(c.mix_reg >= 0.0, "mix_reg", "it must not be negative")?;
        if c.rottlr <= 0.0 {
            return Ok(());
        }
        let rows = c.batch_size.saturating_mul(c.views().into());
        // Batch norm needs two rows.
        let fits = c.rot_div > 0 && rows / u64::from(c.rot_div.max(1)) >= 2;
        self.need(fits, "rot_div", format!("1 / rot_div of the {rows} rows are turned, at least 2"))
    }

    fn evaluation(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need(
            c.scale_lower > 0.0 && c.scale_lower <= 1.0,
            "scale_lower",
            "it is a share of the image, above 0 and up to 1",
        )?;
        let words = "it takes RandomResizedCrop or RandomCrop, and color_distortion, joined by +";
        self.need(c.eval_policies().is_ok(), "augmentation", words)?;
        let pair = "give mean and std together, as the encoder was trained";
        self.need(c.mean.is_some() || c.std.is_none(), "mean", pair)?;
        self.need(c.std.is_some() || c.mean.is_none(), "std", pair)?;
        self.need(c.std.is_none_or(|std| std.iter().all(|&x| x > 0.0)), "std", "it divides: each must be above 0")?;
        self.need((1..=1000).contains(&c.seeds), "seeds", "1 to 1000 runs are possible")
    }

    /// What the linear layer is trained on.
    fn labels(&self) -> Result<(), ConfigError> {
        let c = self.config;
        let semi = c.problem == Problem::SemiSupervisedEval;
        self.need(matches!(c.train_size, None | Some(1 | 10)), "train_size", "there are lists of 1 and 10 percent")?;
        let which = "say which labels: give --subset_list FILE, or --train_size 1 or 10 to draw them";
        self.need(!semi || c.train_size.is_some() || !c.subset_list.is_empty(), "train_size", which)?;
        self.need(semi || c.subset_list.is_empty(), "subset_list", "that is for --problem semi-supervised-eval")?;
        if c.precompute_emb_bs.is_none() {
            return Ok(());
        }
        self.need(c.precompute_emb_bs != Some(0), "precompute_emb_bs", "at least 1 is needed")?;
        self.need(!c.aug, "precompute_emb_bs", "what is embedded once cannot be augmented: give --aug false")?;
        let frozen = "a trained encoder's embeddings change: leave finetune or precompute_emb_bs out";
        self.need(!c.finetune, "precompute_emb_bs", frozen)?;
        self.need(!semi, "precompute_emb_bs", "it embeds the whole training split: that is for --problem eval")
    }

    fn episodes(&self) -> Result<(), ConfigError> {
        let c = self.config;
        self.need((2..=1000).contains(&c.ways), "ways", "an episode has 2 to 1000 classes")?;
        let shots = !c.shots.is_empty() && c.shots.iter().all(|shots| (1..=1000).contains(shots));
        self.need(shots, "shots", "a class has 1 to 1000 support images")?;
        self.need((1..=1000).contains(&c.eval_queries), "eval_queries", "a class has 1 to 1000 query images")?;
        self.need((2..=1_000_000).contains(&c.episodes), "episodes", "an interval needs 2 or more, up to 1000000")?;
        self.need(c.reg > 0.0, "reg", "R2D2 needs a ridge above 0")?;
        self.need(c.seeds == 1, "seeds", "episodes give an interval themselves: give more --episodes")
    }
}

/// A run's name becomes a folder: nothing that leads elsewhere.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && text.chars().all(plain) && !text.starts_with(['.', '-'])
}
