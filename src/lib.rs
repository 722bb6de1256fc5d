//! Diffuscope: see, touch and understand how diffusion models make pictures.
//!
//! A desktop program around a real latent diffusion model. What is asked for on screen becomes a command to one worker
//! thread; what comes back are tensors on the host, which the labs draw. Nothing on screen is canned.
//!
//! ```text
//! prompt, picture, seed, sliders
//!     -> ui (asks)  -> worker (one thread, one job at a time, cancellable)
//!           -> pipeline (tokens -> text embedding -> latent loop -> decoded picture)
//!                 -> diffusion (which level next, what to do with a prediction)   pure mathematics
//!                 -> model (U-Net, autoencoder, text encoder)                     written once
//!                       -> compute (our own kernels on the CPU | in WGSL on any card | candle on CUDA | shapes only)
//!           -> events (HostTensor, never a device tensor) -> ui (draws them) -> figure (writes them)
//! ```
//!
//! The rooms, and what each may import (everything may import [`host`] and [`noise`]):
//!
//! | room | what is in it | imports |
//! | --- | --- | --- |
//! | [`diffusion`] | levels, schedules, spacings, predictions, guidance, samplers; f64, no device | nothing |
//! | [`compute`] | `trait Tensor` of layer-sized operations; our own on the CPU with their tape, our own on graphics cards (`shaders/`), candle's, shape-only ones | nothing |
//! | [`world`] | Littleworld: scenes, their renderer, their captions; pictures that are no scenes | nothing |
//! | [`model`] | U-Net, autoencoder, text encoder, tokenizer, checkpoints, taps | compute |
//! | [`pipeline`] | an open model: encode, predict, generate, decode | model, diffusion, compute |
//! | [`measure`] | what can be said in numbers: reconstruction, retrieval, adherence, diversity | world, model, compute |
//! | [`train`] | objectives, data order, optimizer, averages, checkpoints | model, diffusion, compute, world, measure |
//! | [`worker`] | protocol, mailbox, jobs, measurements kept on the disk | pipeline, train, measure, world, figure |
//! | [`figure`] | a figure as data; one writer per format; the state inside a PNG; files whole or not at all | diffusion |
//! | [`ui`] | the window: clock, theme, widgets, labs | worker::protocol, diffusion, figure |
//! | [`cli`] | one file per command | everything |
//!
//! Seams: a sampler is one function over [`diffusion::Denoise`]; a model is generic over [`compute::Tensor`]; weights carry
//! the names of the diffusers library, and a model folder is a diffusers pipeline folder; a look inside is a tap asked for
//! per call ([`model::taps`]). Samplers, schedules, labs and object kinds are one file and one table line each; tests and
//! the gallery iterate the tables.
//!
//! `tests/architecture.rs` holds the table above.

pub mod cli;
pub mod compute;
pub mod diffusion;
pub mod figure;
pub mod host;
pub mod measure;
pub mod model;
pub mod noise;
pub mod pipeline;
pub mod train;
pub mod ui;
pub mod worker;
pub mod world;
