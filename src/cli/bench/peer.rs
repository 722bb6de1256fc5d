//! A child process that obeys a line protocol: one command a line to its standard input, one answer a line from its standard
//! output. A command is a word and JSON or a name; an answer is `ok` and JSON, `ms` and a number, or `error` and a message.

use crate::cli::interrupt::{self, Interrupted};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// Bytes of an answer that are read.
const LONGEST: u64 = 1 << 16;
/// Characters of an answer that are shown when it makes no sense.
const SHOWN: usize = 80;
/// Lines of the child's standard error that are kept.
const KEPT: usize = 40;
/// Time between looks at Ctrl-C while the child works.
const LOOK: Duration = Duration::from_millis(50);
/// Time that a child which closed its output gets to end by itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// What goes wrong with the other side.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It cannot be started.
    #[error("{program} cannot be started: {source}; --peer takes a Python, such as .venv/bin/python")]
    Start {
        /// What was to be started.
        program: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It has ended.
    #[error("the other side ended ({status}){}", .heard.as_ref().map(|line| format!(": {line}")).unwrap_or_default())]
    Ended {
        /// How.
        status: String,
        /// Its last words on standard error.
        heard: Option<String>,
    },
    /// It says what is no answer.
    #[error("the other side answered \"{said}\", where {expected} was expected")]
    Nonsense {
        /// What it said, cut short.
        said: String,
        /// What would have been an answer.
        expected: &'static str,
    },
    /// It could not do what it was told, and goes on.
    #[error("{0}")]
    Refused(String),
    /// It is still silent.
    #[error("the other side did not answer \"{command}\" within {seconds} seconds")]
    Silent {
        /// What it was told.
        command: String,
        /// How long it had.
        seconds: u64,
    },
    /// Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    /// Done, with what there is to tell.
    Done(Value),
    /// Done, in so many milliseconds.
    Milliseconds(f64),
}

/// The error of an answer without a question.
fn unasked(said: &str) -> PeerError {
    PeerError::Nonsense { said: said.chars().take(SHOWN).collect(), expected: "no answer" }
}

/// Reads an answer.
fn answer(line: &str) -> Result<Answer, PeerError> {
    let nonsense = || PeerError::Nonsense { said: line.chars().take(SHOWN).collect(), expected: "\"ok\", \"ms\" or \"error\"" };
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "ok" => serde_json::from_str(rest).map(Answer::Done).map_err(|_| nonsense()),
        "ms" => match rest.parse() {
            Ok(time) if f64::is_finite(time) && time >= 0.0 => Ok(Answer::Milliseconds(time)),
            _ => Err(nonsense()),
        },
        "error" if !rest.is_empty() => Err(PeerError::Refused(rest.to_owned())),
        _ => Err(nonsense()),
    }
}

/// The child. It is killed when this is dropped.
pub struct Peer {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    heard: Arc<Mutex<VecDeque<String>>>,
    listener: JoinHandle<()>,
}

impl Peer {
    /// Starts a child.
    ///
    /// # Errors
    /// [`PeerError::Start`].
    pub fn start(mut command: Command) -> Result<Self, PeerError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        apart(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|source| PeerError::Start { program, source })?;
        let (Some(commands), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            unreachable!("all three were asked for")
        };
        let (tell, answers) = sync_channel(1);
        // Both threads end with the child's pipes.
        spawn(move || read_answers(output, &tell));
        let heard = Arc::new(Mutex::new(VecDeque::new()));
        let keep = Arc::clone(&heard);
        let listener = spawn(move || listen(errors, &keep));
        Ok(Self { child, commands, answers, heard, listener })
    }

    /// Tells it to do something with `given`; what it has to tell then.
    ///
    /// # Errors
    /// As [`PeerError`] lists.
    pub fn ask(&mut self, command: &str, given: &Value, patience: Duration) -> Result<Value, PeerError> {
        match self.exchange(&format!("{command} {given}"), patience)? {
            Answer::Done(value) => Ok(value),
            Answer::Milliseconds(time) => Err(PeerError::Nonsense { said: format!("ms {time}"), expected: "\"ok\"" }),
        }
    }

    /// Tells it to do `name` once; the milliseconds that it took.
    ///
    /// # Errors
    /// As [`PeerError`] lists.
    pub fn run(&mut self, name: &str, patience: Duration) -> Result<f64, PeerError> {
        match self.exchange(&format!("run {name}"), patience)? {
            Answer::Milliseconds(time) => Ok(time),
            Answer::Done(_) => Err(PeerError::Nonsense { said: "ok".into(), expected: "\"ms\" and a number" }),
        }
    }

    /// Tells it to do `name` once, however long that takes.
    ///
    /// # Errors
    /// As [`PeerError`] lists.
    pub fn warm(&mut self, name: &str, patience: Duration) -> Result<(), PeerError> {
        self.exchange(&format!("warm {name}"), patience).map(|_| ())
    }

    fn exchange(&mut self, command: &str, patience: Duration) -> Result<Answer, PeerError> {
        match self.answers.try_recv() {
            Ok(said) => return Err(unasked(&said)),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(self.ended()),
        }
        if writeln!(self.commands, "{command}").and_then(|()| self.commands.flush()).is_err() {
            // What is no peer may have said something before it ended.
            return Err(self.answers.recv_timeout(FAREWELL).map_or_else(|_| self.ended(), |said| unasked(&said)));
        }
        let asked = Instant::now();
        loop {
            interrupt::check()?;
            match self.answers.recv_timeout(LOOK) {
                Ok(line) => return answer(&line),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
                Err(RecvTimeoutError::Timeout) if asked.elapsed() > patience => {
                    let command = command.split(" {").next().unwrap_or(command).to_owned();
                    return Err(PeerError::Silent { command, seconds: patience.as_secs() });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// How it ended, with its last words; one that closed its output and lives on is killed.
    fn ended(&mut self) -> PeerError {
        let closed = Instant::now();
        let mut status = None;
        while status.is_none() && closed.elapsed() < FAREWELL {
            status = self.child.try_wait().ok().flatten();
            if status.is_none() {
                sleep(Duration::from_millis(5));
            }
        }
        // Its last words may still be on their way.
        while status.is_some() && !self.listener.is_finished() && closed.elapsed() < FAREWELL {
            sleep(Duration::from_millis(5));
        }
        if status.is_none() {
            self.child.kill().ok();
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().for_each(|line| log::debug!("the other side: {line}"));
        PeerError::Ended {
            status: status.map_or_else(|| "it closed its output".to_owned(), |status: ExitStatus| status.to_string()),
            heard: heard.back().cloned(),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Either fails where the child has ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Puts the child out of Ctrl-C's reach: that is for us, and what becomes of the child is ours to decide.
fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
    }
}

/// Passes lines on until the output or the interest in it ends.
fn read_answers(output: impl Read, tell: &SyncSender<String>) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) if tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() => break,
            Ok(_) => {}
        }
    }
}

/// Keeps the last lines that say something.
fn listen(errors: impl Read, keep: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                if !text.is_empty() {
                    kept.push_back(text);
                }
                if kept.len() > KEPT {
                    kept.pop_front();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A child that reads commands and does what `script` says.
    #[cfg(unix)]
    fn shell(script: &str) -> Peer {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Peer::start(command).unwrap()
    }

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        assert_eq!(answer("ok {\"a\":1}").unwrap(), Answer::Done(json!({"a": 1})));
        assert_eq!(answer("ms 12.5").unwrap(), Answer::Milliseconds(12.5));
        assert!(
            matches!(answer("error ValueError: no: such thing"), Err(PeerError::Refused(told)) if told == "ValueError: no: such thing")
        );
        for nonsense in
            ["", "ok", "ok {", "okay {}", "ms", "ms fast", "ms nan", "ms inf", "ms -1", "error", "error ", "Python 3.11", "\u{fffd}"]
        {
            assert!(matches!(answer(nonsense), Err(PeerError::Nonsense { .. })), "{nonsense}");
        }
        let long = answer(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }

    #[cfg(unix)]
    #[test]
    fn a_well_behaved_child_is_asked_again_and_again() {
        let mut peer = shell(
            "while read word rest; do case $word in hello) echo \"ok $rest\";; warm) echo 'ok {}';; run) echo 'ms 2.5';; *) echo 'error unknown';; esac; done",
        );
        assert_eq!(peer.ask("hello", &json!({"threads": 2}), PATIENCE).unwrap(), json!({"threads": 2}));
        for _ in 0..3 {
            peer.warm("unet", PATIENCE).unwrap();
            assert_eq!(peer.run("unet", PATIENCE).unwrap(), 2.5);
        }
        // It refuses and goes on.
        assert!(matches!(peer.ask("dance", &json!({}), PATIENCE), Err(PeerError::Refused(told)) if told == "unknown"));
        assert_eq!(peer.run("unet", PATIENCE).unwrap(), 2.5);
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_dies_is_told_with_its_last_words() {
        let mut peer = shell("read line; echo first >&2; echo 'no torch here' >&2; exit 3");
        let error = peer.run("unet", PATIENCE).unwrap_err();
        assert!(matches!(error, PeerError::Ended { .. }));
        assert!(error.to_string().contains('3') && error.to_string().contains("no torch here"), "{error}");
        // It stays dead.
        assert!(matches!(peer.run("unet", PATIENCE), Err(PeerError::Ended { .. })));
        assert!(matches!(shell("exit 0").run("unet", PATIENCE), Err(PeerError::Ended { .. })));
        assert!(matches!(shell("read line; kill -9 $$").run("unet", PATIENCE), Err(PeerError::Ended { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn nonsense_silence_and_too_many_words_are_errors() {
        for script in
            ["read line; echo hello", "read line; echo 'ms soon'", "read line; head -c 200000 /dev/zero", "read line; echo 'ok {}'"]
        {
            assert!(matches!(shell(script).run("unet", PATIENCE), Err(PeerError::Nonsense { .. })), "{script}");
        }
        assert!(matches!(shell("read line; echo 'ms 1'").ask("open", &json!({}), PATIENCE), Err(PeerError::Nonsense { .. })));
        let error = shell("cat >&2").ask("open", &json!({"folder": "/"}), Duration::ZERO).unwrap_err();
        assert!(matches!(&error, PeerError::Silent { command, .. } if command == "open"), "{error}");
        let mut peer = shell("read line; echo 'ms 1'; echo 'ms 2'; cat");
        assert_eq!(peer.run("unet", PATIENCE).unwrap(), 1.0);
        // The second answer comes in its time.
        let deadline = Instant::now() + PATIENCE;
        while !matches!(peer.run("unet", PATIENCE), Err(PeerError::Nonsense { .. })) {
            assert!(Instant::now() < deadline);
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Peer::start(Command::new("/no/such/python")).err().unwrap().to_string();
        assert!(error.contains("/no/such/python") && error.contains("--peer"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_dropped_child_is_killed() {
        let peer = shell("trap '' TERM; while :; do sleep 0.01; done");
        let id = peer.child.id();
        drop(peer);
        assert!(!Command::new("kill").args(["-0", &id.to_string()]).stderr(Stdio::null()).status().unwrap().success());
    }
}
