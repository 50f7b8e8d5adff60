//! Evaluation of a saved encoder: a linear layer on it, trained alone or together with it, on all labels or on few.

use std::cell::OnceCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::parts::{embed_spec, images, optimizer};
use super::place::Place;
use super::subject::{saved_encoder, spec, stem_note, subject};
use super::{Data, describe, go, named_checkpoint, no_test, ranks, same_classes, start};
use crate::augment::ViewSpec;
use crate::config::{Config, Loaded, Problem};
use crate::dist::Comm;
use crate::episode::{EpisodeSpec, Order, Planner};
use crate::eval::embed::EmbedSpec;
use crate::eval::{Embedding, Subject, embed};
use crate::nn::Mode;
use crate::shard::{ShardSet, Storage};
use crate::train::checkpoint::Checkpoint;
use crate::train::labels::Labels;
use crate::train::linear_eval::{Input, LinearEvaluation};
use crate::train::{Console, Position, Records, TrainError};

/// What the runs of one evaluation share, whatever their seeds.
pub(super) struct Bench<'a> {
    data: Data,
    test: Arc<ShardSet>,
    ckpt: Option<Checkpoint>,
    saved: Option<Checkpoint>,
    /// The labels that training may use; all where there are none.
    labels: Option<Labels>,
    /// Train and test through the saved encoder.
    embedded: OnceCell<(Rc<Embedding>, Rc<Embedding>)>,
    place: &'a Place,
    comm: &'a Arc<dyn Comm>,
}

impl<'a> Bench<'a> {
    /// Opens data and checkpoints; what does not fit is refused here, before a folder is made.
    pub(super) fn open(
        config: &Config,
        place: &'a Place,
        storage: &Storage,
        comm: &'a Arc<dyn Comm>,
    ) -> Result<Self, TrainError> {
        let data = Data::open(config, storage)?;
        let test = data.test.clone().ok_or_else(|| no_test(config))?;
        same_classes(config, &data.train, &test)?;
        let semi = config.problem == Problem::SemiSupervisedEval;
        let labels = semi.then(|| labels(config, &data.train)).transpose()?;
        let ckpt = named_checkpoint(config)?;
        let saved = saved_encoder(config)?;
        spec(config, saved.as_ref())?;
        Ok(Self { data, test, ckpt, saved, labels, embedded: OnceCell::new(), place, comm })
    }

    /// Identity of the training images.
    pub(super) fn identity(&self) -> u128 {
        self.data.train.identity()
    }

    /// One run: trains the layer and says how good it is.
    pub(super) fn run(
        &self,
        loaded: &Loaded,
        console: Console,
        logs: &Path,
        stop: &AtomicBool,
    ) -> Result<Position, TrainError> {
        let config = &loaded.config;
        let mut records = ranks::records(loaded, console, logs, self.identity(), &self.sources(), &**self.comm)?;
        if let Some(labels) = &self.labels {
            records.say(&labels.to_string());
        }
        self.place.introduce(&mut records)?;
        let seed = records.seed();
        let task = self.task(config, seed, &mut records)?;
        let mut optimizer = optimizer(config, task.parameters());
        let position = start(&mut records, &task, &mut optimizer, config, self.ckpt.as_ref())?;
        records.say(&describe(&task.subject.encoder, &self.data, self.place.device));
        let planner = self.planner(config, seed)?;
        let position = go(
            &mut records,
            &task,
            &mut optimizer,
            planner,
            &self.data.train,
            position,
            config,
            self.place,
            self.comm,
            stop,
        )?;
        records.list_corrupt(&**self.comm)?;
        records.summary(&position, None)?;
        Ok(position)
    }

    /// What a run depends on besides its training images, by digests.
    fn sources(&self) -> Vec<(&'static str, String)> {
        let encoder = self.saved.iter().map(|saved| ("encoder", saved.digest.clone()));
        encoder.chain(self.labels.iter().map(|labels| ("labels", labels.digest()))).collect()
    }

    fn task(&self, config: &Config, seed: u64, records: &mut Records) -> Result<LinearEvaluation, TrainError> {
        let mut subject = subject(config, self.saved.as_ref(), seed, self.place.device)?;
        if config.finetune && config.sync_bn && self.comm.world().size() > 1 {
            subject.encoder = subject.encoder.synchronised(self.comm.clone());
        }
        if let Some(note) = stem_note(config, subject.encoder.spec()) {
            records.say(&note);
        }
        let input = match config.precompute_emb_bs {
            Some(batch) => {
                let (train, test) = self.embedded(config, batch, seed, &subject)?;
                Input::Embedded { train, test }
            }
            None => Input::Images,
        };
        let view = ViewSpec::bicubic(config.image_size());
        let in_order = EpisodeSpec::in_order(images(config.test_bs), config.eval_policies()?.test, view);
        let classes = self.data.train.classes().len() as i64;
        let (weight, bias) =
            LinearEvaluation::zero_layer(classes, subject.encoder.spec().arch.features(), self.place.device);
        Ok(LinearEvaluation {
            subject,
            finetune: config.finetune,
            input,
            weight,
            bias,
            train: self.data.train.clone(),
            test: self.test.clone(),
            test_planner: Planner::new(in_order, self.test.len())?,
            feeder: self.place.feeder.clone(),
            comm: self.comm.clone(),
        })
    }

    /// Features of both splits, once for all seeds where the encoder is the same for all.
    fn embedded(
        &self,
        config: &Config,
        batch: u64,
        seed: u64,
        subject: &Subject,
    ) -> Result<(Rc<Embedding>, Rc<Embedding>), TrainError> {
        if let Some((train, test)) = self.embedded.get() {
            return Ok((train.clone(), test.clone()));
        }
        let spec =
            EmbedSpec { batch: images(batch), samples: 0, ..embed_spec(config, seed, &self.place.feeder, self.comm)? };
        let encode = |set: &Arc<ShardSet>| embed(set, &spec, |images| subject.features(images, Mode::Eval));
        let both = (Rc::new(encode(&self.data.train)?), Rc::new(encode(&self.test)?));
        if self.saved.is_some() {
            let _ = self.embedded.set(both.clone());
        }
        Ok(both)
    }

    fn planner(&self, config: &Config, seed: u64) -> Result<Planner, TrainError> {
        let samples = self.labels.as_ref().map_or(self.data.train.len(), |labels| labels.samples().len() as u64);
        let world = self.comm.world();
        let episodes = EpisodeSpec {
            seed,
            rank: (world.rank(), world.size()),
            batch: images(config.batch_size.min(samples)),
            order: Order::ShuffledToTheEnd { seed },
            ..EpisodeSpec::in_order(1, config.eval_policies()?.train, ViewSpec::bicubic(config.image_size()))
        };
        Ok(match &self.labels {
            Some(labels) => Planner::over(episodes, labels.samples().clone())?,
            None => Planner::new(episodes, samples)?,
        })
    }
}

/// The labels of a semi-supervised evaluation: those of a list, or drawn.
fn labels(config: &Config, train: &ShardSet) -> Result<Labels, TrainError> {
    if !config.subset_list.is_empty() {
        return Ok(Labels::listed(train, Path::new(&config.subset_list))?);
    }
    // `config::check` asks for one of the two.
    let percent = config.train_size.unwrap_or(100);
    Ok(Labels::drawn(train, percent, config.data_split_seed)?)
}
