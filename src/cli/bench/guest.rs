//! PyTorch and OpenVINO in a child process: what they are told to open and to run, and what became of them.

use super::peer::{Peer, PeerError};
use crate::cli::interrupt::Interrupted;
use crate::compute::DeviceKind;
use crate::host::HostTensor;
use crate::pipeline::{GenerateRequest, ModelSource, write_embedded};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// What the child runs.
const SCRIPT: &str = include_str!("peer.py");
/// Longest wait for the libraries to be loaded.
const START: Duration = Duration::from_secs(300);
/// Longest wait for any other answer: a large model on a small machine takes minutes.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What is measured beside us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rival {
    /// PyTorch, as diffusers runs it.
    PyTorch,
    /// OpenVINO in f32.
    OpenVino,
}

impl Rival {
    /// All.
    pub const ALL: [Self; 2] = [Self::PyTorch, Self::OpenVino];

    /// What to call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::PyTorch => "PyTorch",
            Self::OpenVino => "OpenVINO",
        }
    }

    /// Its key in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::PyTorch => "pytorch",
            Self::OpenVino => "openvino",
        }
    }

    /// What the child calls `thing` of this rival.
    fn name(self, thing: &str) -> String {
        match self {
            Self::PyTorch => thing.to_owned(),
            Self::OpenVino => format!("openvino_{thing}"),
        }
    }
}

/// What the model is run on beside us.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// The model.
    pub source: &'a ModelSource,
    /// Unit Gaussian latents `[1, C, h, w]`.
    pub latents: &'a HostTensor,
    /// The timestep of the single evaluation.
    pub timestep: f64,
    /// Prompts, steps and guidance of the whole run.
    pub request: &'a GenerateRequest,
}

/// The child and its model's folder. What it cannot do is kept, and ours goes on.
pub struct Guest {
    peer: Option<Peer>,
    folder: TempDir,
    /// Versions, by rival; `None` for one that is not to be had.
    versions: Vec<(Rival, String)>,
    /// What each rival is not asked for again.
    lost: Vec<String>,
    /// What went wrong.
    failures: Vec<String>,
    /// What has to be known without being wrong.
    notes: Vec<String>,
}

impl Guest {
    /// Starts `python` with our script, and PyTorch in it with as many threads as we have.
    ///
    /// # Errors
    /// When there is no such program, or it is no Python with what is needed.
    pub fn start(python: &Path, device: DeviceKind) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let script = folder.path().join("peer.py");
        std::fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
        let threads = rayon::current_num_threads();
        let mut command = Command::new(python);
        command.arg(&script);
        for (name, value) in environment(threads) {
            // What was chosen from outside stays.
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        let given = json!({ "threads": threads, "device": if device == DeviceKind::Cpu { "cpu" } else { "cuda" } });
        Self::begin(command, folder, &given).map_err(|error| match error {
            PeerError::Interrupted(interrupted) => interrupted.into(),
            start @ PeerError::Start { .. } => start.into(),
            other => anyhow::Error::from(other)
                .context(format!("{} is no Python with torch, diffusers and transformers, as --peer takes it", python.display())),
        })
    }

    fn begin(command: Command, folder: TempDir, given: &Value) -> Result<Self, PeerError> {
        let mut peer = Peer::start(command)?;
        let about = peer.ask("hello", given, START)?;
        let version = |key: &str| about[key].as_str().unwrap_or("of an unknown version").to_owned();
        let versions = vec![(Rival::PyTorch, format!("{} (diffusers {})", version("torch"), version("diffusers")))];
        Ok(Self { peer: Some(peer), folder, versions, lost: Vec::new(), failures: Vec::new(), notes: Vec::new() })
    }

    /// Opens a model with diffusers, and with OpenVINO where that is to be had.
    ///
    /// # Errors
    /// At Ctrl-C; anything else is kept.
    pub fn open(&mut self, scene: &Scene) -> Result<(), Interrupted> {
        let given = match self.prepare(scene) {
            Ok(given) => given,
            Err(error) => {
                self.give_up(format!("{error:#}"));
                return Ok(());
            }
        };
        if self.ask("open", &given)?.is_none() {
            // Without a model nothing is left to run.
            self.peer = None;
            return Ok(());
        }
        let about = match self.peer.as_mut().map(|peer| peer.ask("openvino", &json!({}), PATIENCE)) {
            Some(Ok(about)) => about,
            Some(Err(PeerError::Refused(told))) => json!({ "missing": told }),
            Some(Err(error)) => return self.fail("openvino", error),
            None => return Ok(()),
        };
        match about["openvino"].as_str() {
            Some(version) => self.versions.push((Rival::OpenVino, version.to_owned())),
            None => self.notes.push(format!("OpenVINO is not beside us: {}", about["missing"].as_str().unwrap_or("no reason was given"))),
        }
        Ok(())
    }

    /// Writes what the child needs into the folder; what to tell it.
    fn prepare(&self, scene: &Scene) -> Result<Value> {
        let Scene { source, latents, timestep, request } = scene;
        let model = match source {
            ModelSource::Embedded => {
                let model = self.folder.path().join("model");
                write_embedded(&model)?;
                model
            }
            ModelSource::Folder(path) => std::path::absolute(path)?,
        };
        let path = self.folder.path().join("latents.f32");
        let bytes: Vec<u8> = latents.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(json!({
            "folder": model, "latents": path, "shape": latents.shape(), "timestep": timestep, "prompt": request.prompt,
            "negative": request.negative, "steps": request.steps, "guidance": request.guidance_scale,
        }))
    }

    /// Prepares what `command` makes of a network, under the name that is given with the rest; whether it can be run.
    ///
    /// # Errors
    /// At Ctrl-C; anything else is kept.
    pub fn open_network(&mut self, command: &str, given: &Value) -> Result<bool, Interrupted> {
        Ok(self.ask(command, given)?.is_some())
    }

    /// Who is there to run `thing`.
    pub fn rivals(&self, thing: &str) -> Vec<Rival> {
        let compiled = ["unet_guided", "vae_decode"];
        let can = |rival: Rival| self.version(rival).is_some() && (rival != Rival::OpenVino || compiled.contains(&thing));
        Rival::ALL.into_iter().filter(|&rival| self.peer.is_some() && can(rival)).collect()
    }

    /// The rival's version, when it is there.
    pub fn version(&self, rival: Rival) -> Option<&str> {
        self.versions.iter().find(|(there, _)| *there == rival).map(|(_, version)| version.as_str())
    }

    /// Lets a rival do `thing` once without being measured.
    ///
    /// # Errors
    /// At Ctrl-C; anything else is kept, and the rival not asked for it again.
    pub fn warm(&mut self, rival: Rival, thing: &str) -> Result<(), Interrupted> {
        self.turn(rival, thing, |peer, name| peer.warm(name, PATIENCE)).map(|_| ())
    }

    /// Milliseconds of one run of `thing`, where it can be run.
    ///
    /// # Errors
    /// At Ctrl-C; anything else is kept, and the rival not asked for it again.
    pub fn run(&mut self, rival: Rival, thing: &str) -> Result<Option<f64>, Interrupted> {
        self.turn(rival, thing, |peer, name| peer.run(name, PATIENCE))
    }

    fn turn<R>(
        &mut self,
        rival: Rival,
        thing: &str,
        run: impl FnOnce(&mut Peer, &str) -> Result<R, PeerError>,
    ) -> Result<Option<R>, Interrupted> {
        let name = rival.name(thing);
        let Some(peer) = self.peer.as_mut().filter(|_| !self.lost.contains(&name)) else { return Ok(None) };
        match run(peer, &name) {
            Ok(done) => Ok(Some(done)),
            Err(error) => {
                self.fail(&name, error)?;
                self.lost.push(name);
                Ok(None)
            }
        }
    }

    /// The picture that PyTorch's last `generate_20` ended with, when there is one.
    ///
    /// # Errors
    /// At Ctrl-C; anything else is kept.
    pub fn picture(&mut self) -> Result<Option<HostTensor>, Interrupted> {
        let path: PathBuf = self.folder.path().join("picture.f32");
        let Some(about) = self.ask("picture", &json!({ "path": path }))? else { return Ok(None) };
        let shape: Vec<usize> = about["shape"].as_array().into_iter().flatten().filter_map(|side| Some(side.as_u64()? as usize)).collect();
        let read = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
            let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            HostTensor::new(shape, values).map_err(|error| error.to_string())
        });
        Ok(read.map_err(|error| self.failures.push(format!("the other side's picture cannot be read: {error}"))).ok())
    }

    fn ask(&mut self, command: &str, given: &Value) -> Result<Option<Value>, Interrupted> {
        let Some(peer) = self.peer.as_mut() else { return Ok(None) };
        match peer.ask(command, given, PATIENCE) {
            Ok(about) => Ok(Some(about)),
            Err(error) => self.fail(command, error).map(|()| None),
        }
    }

    /// Keeps an error; one that leaves the child unusable ends it.
    fn fail(&mut self, what: &str, error: PeerError) -> Result<(), Interrupted> {
        match error {
            PeerError::Interrupted(interrupted) => return Err(interrupted),
            PeerError::Refused(told) => self.failures.push(format!("{what}: {told}")),
            other => self.give_up(format!("{what}: {other}")),
        }
        Ok(())
    }

    fn give_up(&mut self, failure: String) {
        self.failures.push(failure);
        self.peer = None;
    }

    /// Ends the child; what was heard of it stays.
    pub fn leave(&mut self) {
        self.peer = None;
    }

    /// What has to be known without being wrong.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What went wrong on the other side, in one error.
    ///
    /// # Errors
    /// When anything did.
    pub fn verdict(&self) -> Result<()> {
        anyhow::ensure!(self.failures.is_empty(), "what was to be measured beside us failed: {}", self.failures.join("; "));
        Ok(())
    }
}

/// Keeps the child to our number of threads, and off the network. How its threads wait is left to it: waiting awake makes it
/// faster, and the rest between turns is long enough for them to fall asleep.
fn environment(threads: usize) -> Vec<(&'static str, String)> {
    vec![
        ("OMP_NUM_THREADS", threads.to_string()),
        ("MKL_NUM_THREADS", threads.to_string()),
        ("HF_HUB_OFFLINE", "1".into()),
        ("TRANSFORMERS_OFFLINE", "1".into()),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1".into()),
        ("TOKENIZERS_PARALLELISM", "false".into()),
        ("PYTHONIOENCODING", "utf-8".into()),
    ]
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::turns::measure;
    use super::*;

    /// A guest that knows no Python and does what `cases`, the arms of a shell's `case`, say.
    fn guest(cases: &str) -> Guest {
        let hello = r#"hello) echo 'ok {"torch":"2.0","diffusers":"0.1"}';; *) echo 'ok {}';;"#;
        let mut command = Command::new("sh");
        command.args(["-c", &format!("while read word rest; do case $word in {cases} {hello} esac; done")]);
        Guest::begin(command, tempfile::tempdir().unwrap(), &json!({})).unwrap()
    }

    fn beside(guest: &mut Guest, thing: &'static str) -> super::super::turns::Times {
        let rivals = guest.rivals(thing);
        measure(thing, 4, Some(guest), &rivals, || Ok::<_, anyhow::Error>(Duration::ZERO)).unwrap()
    }

    fn open(guest: &mut Guest) {
        let (latents, request) = (HostTensor::full([1, 4, 2, 2], 0.5), GenerateRequest::default());
        guest.open(&Scene { source: &ModelSource::Embedded, latents: &latents, timestep: 400.0, request: &request }).unwrap();
    }

    #[test]
    fn both_rivals_are_run_in_turn() {
        let mut guest =
            guest(r#"openvino) echo 'ok {"openvino":"2026.4"}';; run) case $rest in openvino_*) echo 'ms 5';; *) echo 'ms 10';; esac;;"#);
        open(&mut guest);
        // The program's own model lies where the other side was told to look.
        assert!(guest.folder.path().join("model/unet/config.json").exists());
        assert_eq!(std::fs::read(guest.folder.path().join("latents.f32")).unwrap().len(), 16 * 4);
        assert_eq!((guest.version(Rival::PyTorch), guest.version(Rival::OpenVino)), (Some("2.0 (diffusers 0.1)"), Some("2026.4")));
        let times = beside(&mut guest, "unet_guided");
        assert_eq!(times.ours.len(), 4);
        assert_eq!(times.theirs, [(Rival::PyTorch, vec![10.0; 4]), (Rival::OpenVino, vec![5.0; 4])]);
        assert_eq!(beside(&mut guest, "text_encode").theirs, [(Rival::PyTorch, vec![10.0; 4])]);
        guest.verdict().unwrap();
    }

    #[test]
    fn a_guest_that_dies_half_way_leaves_our_numbers() {
        let mut guest = guest("run) n=$((n + 1)); if [ $n -gt 2 ]; then echo 'Killed: out of memory' >&2; exit 9; fi; echo 'ms 10';;");
        open(&mut guest);
        assert!(guest.notes()[0].contains("OpenVINO"), "{:?}", guest.notes());
        let times = beside(&mut guest, "unet_guided");
        assert_eq!((times.ours.len(), times.theirs), (4, vec![(Rival::PyTorch, vec![10.0; 2])]));
        let times = beside(&mut guest, "vae_decode");
        assert_eq!((times.ours.len(), times.theirs), (4, vec![]));
        let verdict = guest.verdict().unwrap_err().to_string();
        assert!(verdict.contains("out of memory") && verdict.contains("unet_guided"), "{verdict}");
    }

    #[test]
    fn what_one_rival_refuses_the_guest_is_not_asked_again() {
        let mut guest = guest("run) if [ $rest = vae_decode ]; then echo 'error RuntimeError: no'; else echo 'ms 10'; fi;;");
        open(&mut guest);
        assert!(beside(&mut guest, "vae_decode").theirs.is_empty());
        assert_eq!(beside(&mut guest, "unet_guided").theirs.len(), 1);
        assert_eq!(guest.verdict().unwrap_err().to_string().matches("RuntimeError").count(), 1);
        // A model that cannot be opened leaves nobody to run it.
        let mut guest = self::guest("open) echo 'error OSError: no such folder';;");
        open(&mut guest);
        assert!(guest.rivals("unet_guided").is_empty());
        assert!(guest.verdict().unwrap_err().to_string().contains("OSError"));
    }

    #[test]
    fn what_is_no_python_is_said_at_once() {
        for (program, part) in [("/no/such/python", "cannot be started"), ("true", "ended"), ("cat", "answered")] {
            let error = Guest::start(Path::new(program), DeviceKind::Cpu).err().unwrap();
            let told = format!("{error:#}");
            assert!(told.contains(part) && told.contains("--peer"), "{told}");
        }
    }

    #[test]
    fn pictures_come_back_as_they_were() {
        let mut guest = guest(r#"picture) echo 'ok {"shape":[1,1,2]}';;"#);
        let path = guest.folder.path().join("picture.f32");
        std::fs::write(&path, [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]).unwrap();
        assert_eq!(guest.picture().unwrap().unwrap().data(), [1.0, -2.0]);
        // Half of it is no picture.
        std::fs::write(&path, [0, 0, 0x80, 0x3f]).unwrap();
        assert!(guest.picture().unwrap().is_none() && guest.verdict().is_err());
    }
}
