//! THE table of keys: name, aliases, type, default, meaning. Defaults are the published code's; an unset key (`None`) is filled
//! by [`resolve`](super::resolve) from what it depends on.

use super::byte_count::Bytes;
use super::data_path::DataPath;
use super::table::{Group, Key, keys};
use super::value::{
    Arch, Augment, Corrupt, Dist, Family, FewShotHead, GpuDecode, Head, Init, LrSchedule, Opt, Precision, Problem,
    TaskRot, Value, Verify,
};
use crate::decode::Limits;
use crate::shard::CACHE_SIZE;

keys! {
    Run {
        /// sim-clr, byol and simsiam train an encoder; eval, semi-supervised-eval and few-shot-eval judge one
        problem: Problem = Problem::SimClr;
        /// a label, no more
        name: String = String::new();
        /// name of the run's folder, one word; unset: the next number; an existing one is resumed
        run_id: Option<String> = None;
        /// put the run under tmp/ in place of runs/
        tmp: bool = false;
        /// refuse to resume: an existing checkpoint in the run's folder is an error
        fresh: bool = false;
        /// print what the run would do and need, and stop
        dry_run: bool = false;
        /// fixes everything that is random; unset or -1: drawn and written down
        seed: Option<u64> = None;
        /// how many steps (micro-batches) in all
        iters: Option<u64> = None;
        /// steps between log lines and rolling checkpoints
        log_freq: u64 = 100;
        /// steps between evaluations
        eval_freq: u64 = 10_000_000_000_000_000;
        /// steps between numbered checkpoints
        save_freq: u64 = 10_000_000_000_000_000;
        /// write TensorBoard's event file beside metrics.jsonl
        tensorboard: bool = true;
        /// write report.html at the end: curves, results, config, environment, training views
        report: bool = true;
        /// how many numbered checkpoints to keep
        keep_checkpoints: u64 = 5;
        /// go on from this checkpoint: weights, optimizer, iteration (eval_only: judge it)
        ckpt: String = String::new();
        /// evaluate, do not train
        eval_only: bool = false;
        /// at the end of pre-training: kNN and linear probe, trained and untrained
        final_eval: bool = false;
        /// pre-training: steps between kNN evaluations, beside those of eval_freq; unset or 0: none
        knn_freq: Option<u64> = None;
        /// most images of each split that kNN and the linear probe use; unset: all
        eval_samples: Option<u64> = None;
    }
    Data {
        /// cifar or imagenet: decides stem, recipe of views and image_size
        data: Family = Family::Cifar;
        /// the converted dataset: a folder, or a URL of object storage (s3, gs, az, http, https); unset: the variable DATA_ROOT (cifar) or IMAGENET_PATH (imagenet)
        data_path: DataPath = DataPath::default();
        /// folder where what is read from object storage is kept; unset: $XDG_CACHE_HOME/metacl/shards, or .cache/metacl/shards at home
        cache_dir: String = String::new();
        /// most bytes kept there, like 512M or 100G; enough for the dataset where it is read more than once
        cache_size: Bytes = Bytes(CACHE_SIZE);
        /// side of a view in pixels; unset: 32 (cifar), 224 (imagenet)
        image_size: Option<u32> = None;
        /// when the checksums of what is read are compared: always, first (at the first read of a record), never
        verify: Verify = Verify::Always;
        /// damaged samples, listed in quarantine.jsonl: substitute: others, drawn by seed, epoch and sample, take their place; error: the run ends
        corrupt: Corrupt = Corrupt::Substitute;
        /// the largest share of a dataset's samples that may be corrupt before the run ends
        max_corrupt: f64 = 0.01;
        /// most pixels of an image; a larger one is an error before it is decoded
        max_pixels: u64 = Limits::default().max_pixels;
        /// images in a batch over all processes; each image is a class of the task
        batch_size: u64 = 256;
        /// where views are rendered; auto: on the GPU where there is one
        augment: Augment = Augment::Auto;
        /// with augment cuda, who expands coefficient records to pixels: device: kernels; host: the loader's threads
        gpu_decode: GpuDecode = GpuDecode::Device;
        /// folder of compiled kernels; unset: $XDG_CACHE_HOME/metacl/kernels, or .cache/metacl/kernels at home
        kernel_cache: String = String::new();
        /// false: the training views of an evaluation are its test views
        aug: bool = true;
    }
    Network {
        /// the encoder; linear: the one in encoder_ckpt
        arch: Arch = Arch::ResNet50;
        /// how weights start
        init: Init = Init::Torch;
        /// batch norm over all processes
        sync_bn: bool = true;
        /// f32, or the network's forward pass in bf16 or (on a GPU) f16; weights and losses stay f32
        precision: Precision = Precision::F32;
        /// channels innermost in memory, of images and of convolution weights; unset: on a GPU with bf16 and f16; on the CPU of images alone
        channels_last: Option<bool> = None;
        /// byol, simsiam: hidden units of projector and predictor; unset: 4096 (imagenet), 1024 (cifar), 512 (Conv4)
        byol_hidden: Option<u32> = None;
        /// byol, simsiam: width of an embedding
        byol_width: u32 = 256;
        /// byol: share of the target that an update keeps at the start; it rises to 1
        byol_momentum: f64 = 0.996;
    }
    Optimizer {
        /// how weights move
        opt: Opt = Opt::Lars;
        /// base rate; not rescaled by the batch size
        lr: f64 = 0.1;
        /// how the rate runs
        lr_schedule: LrSchedule = LrSchedule::WarmupAnneal;
        /// share of iters spent warming up, 0 to 1
        warmup: f64 = 0.0;
        /// L2 decay
        weight_decay | wd: f64 = 1e-4;
        /// micro-batches per update
        accu_iter: u64 = 1;
        /// average the gradients of micro-batches; false: sum them, as published
        accu_mean: bool = false;
        /// longest joint gradient of an update; unset: any
        clip_grad_norm: Option<f64> = None;
        /// LARS: leave out downsample.1.weight too, which published runs decay and adapt
        lars_exclude_all_bn: bool = false;
    }
    Views {
        /// views per image; unset: n_supp + n_query (PN, R2D2, SVM) or 2
        multiplier: Option<u32> = None;
        /// smallest share of the image's area that a crop covers
        scale_lower: f64 = 0.08;
        /// scale_lower of support views; unset: scale_lower
        supp_scale_lower: Option<f64> = None;
        /// scale_lower of query views; unset: scale_lower
        query_scale_lower: Option<f64> = None;
        /// strength of the colour jitter, 0 to 2.5
        color_dist_s: f64 = 1.0;
        /// color_dist_s of support views; unset: color_dist_s
        supp_color_dist_s: Option<f64> = None;
        /// color_dist_s of query views; unset: color_dist_s
        query_color_dist_s: Option<f64> = None;
        /// probability that a view is blurred; unset: 0 (cifar), 0.5 (imagenet)
        blur: Option<f64> = None;
        /// blur of support views; unset: blur
        supp_blur: Option<f64> = None;
        /// blur of query views; unset: blur
        query_blur: Option<f64> = None;
        /// probability that a class is turned by a random quarter turn (task augmentation); on if above 0
        rottlr_p: f64 = -1.0;
        /// replace: the turned class takes the upright one's place; expand: all four turns are classes
        task_rot: TaskRot = TaskRot::Replace;
    }
    Head {
        /// the loss
        head: Head = Head::Contrastive;
        /// multiplies logits (contrastive, SVM) or divides them (PN, R2D2); unset: 10, 10, 0.2, 0.1
        temperature: Option<f64> = None;
        /// support views per class (PN, R2D2, SVM)
        n_supp: u32 = 1;
        /// query views per class (PN, R2D2, SVM)
        n_query: u32 = 1;
        /// R2D2: lambda
        reg: f64 = 50.0;
        /// SVM: tasks that a batch is cut into
        svm_tasks: u32 = 1;
        /// query mixing: cutmix and mixup
        qcm: bool = false;
        /// weight of the rotation loss; on if above 0
        rottlr: f64 = -1.0;
        /// rotation loss: 1 / share of rows that are turned
        rot_div: u32 = 1;
        /// rotation loss: its weight decays with half a cosine
        adpt: bool = false;
        /// weight of the head's own loss beside rotation or mixing
        ori_reg: f64 = 1.0;
        /// weight of the mixing loss
        mix_reg: f64 = 1.0;
    }
    Evaluation {
        /// the encoder to judge
        encoder_ckpt: String = String::new();
        /// images in a test batch
        test_bs: u64 = 256;
        /// training views on CIFAR: RandomResizedCrop or RandomCrop, and color_distortion, joined by +
        augmentation: String = "RandomResizedCrop".to_owned();
        /// train the encoder too
        finetune: bool = false;
        /// embed the data once, in batches of this size; needs aug false; unset or -1: off
        precompute_emb_bs: Option<u64> = None;
        /// mean of each channel that the encoder's inputs are normalised with: red,green,blue; unset: they are taken as 0..1
        mean: Option<[f64; 3]> = None;
        /// standard deviation of each channel, with mean
        std: Option<[f64; 3]> = None;
        /// how many runs, with seeds seed, seed + 1, ...: gives a mean and its 95 % interval
        seeds: u64 = 1;
        /// semi-supervised-eval: a file with the names of the labelled images, one a line; unset: drawn, the same number of each class
        subset_list: String = String::new();
        /// semi-supervised-eval without subset_list: percent of the labels, 1 or 10
        train_size: Option<u32> = None;
        /// semi-supervised-eval without subset_list: which labels are drawn
        data_split_seed: u64 = 42;
        /// few-shot-eval: what solves the episodes
        few_shot_head: FewShotHead = FewShotHead::All;
        /// few-shot-eval: classes of an episode
        ways: u32 = 5;
        /// few-shot-eval: support images of each class; several are evaluated one after the other
        shots: Vec<u32> = vec![1, 5];
        /// few-shot-eval: query images of each class
        eval_queries: u32 = 15;
        /// few-shot-eval: how many
        episodes: u64 = 600;
    }
    Processes {
        /// threads that decode and augment; unset: the cores that this process may use, or its share where others of the run use them too
        workers | j: Option<u32> = None;
        /// threads of torch's operators; unset: torch decides, or as workers where others of the run use the cores too
        threads: Option<u32> = None;
        /// dp: one process; ddp: one per GPU
        dist: Dist = Dist::Dp;
        /// processes on this machine; unset: one per GPU with ddp, without a GPU one
        nproc: Option<u32> = None;
        /// where the processes of several machines meet, HOST:PORT of the first
        dist_address: String = "127.0.0.1:1234".to_owned();
        /// seconds that a process waits for the others; one that dies shows sooner
        dist_timeout: u64 = 1800;
        /// this machine's number
        node_rank: u32 = 0;
        /// how many machines; each starts its own processes
        world_size: u32 = 1;
    }
}
