//! CLIP's byte-pair tokenizer: text to token ids and back to visible pieces, and the training of such a vocabulary.
//!
//! Radford et al. 2021 (arXiv 2103.00020, section 2.4) on the byte-level byte-pair encoding of Radford et al. 2019 and
//! Sennrich et al. 2016 (arXiv 1508.07909). Files are those of a diffusers pipeline folder: `vocab.json` and `merges.txt`.
//!
//! Text is lower-cased character by character, white space separates, and words are found by CLIP's pattern
//! `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`.
//! This follows transformers 5 (`CLIPTokenizer` on the tokenizers library), not the older pure-Python one: accents and
//! Chinese characters are kept as they are, and a special token written out in the text counts as that token.
//! Accents are composed first (Unicode normalisation form C), as the library does.

#[path = "tokenizer/text.rs"]
mod text;
#[path = "tokenizer/train.rs"]
mod train;

pub use train::train_bpe;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use text::{Part, for_each_word, normalize, split_specials};

/// Pair of ids to (rank, id of the union); lower ranks merge first.
type Merges = HashMap<(u32, u32), (u32, u32)>;

const BOS: &str = "<|startoftext|>";
const EOS: &str = "<|endoftext|>";
/// Ends the last symbol of every word.
const WORD_END: &str = "</w>";

/// Why a tokenizer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// `vocab.json` is not a JSON object of token to id.
    #[error("vocab.json is not an object from token to id: {0}")]
    Vocab(#[source] serde_json::Error),
    /// A configuration file is not JSON of the expected form.
    #[error("tokenizer_config.json cannot be read: {0}")]
    Config(#[source] serde_json::Error),
    /// `merges.txt` is not text.
    #[error("merges.txt is not UTF-8 text: {0}")]
    MergesText(#[source] std::str::Utf8Error),
    /// A line of `merges.txt` is not two symbols of the vocabulary whose union is in it too.
    #[error("merges.txt, line {line}: {content:?}: {problem}")]
    Merge {
        /// Line number from 1.
        line: usize,
        /// The line, shortened.
        content: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The vocabulary lacks a token that every CLIP vocabulary has.
    #[error("vocab.json has no token {0:?}, which a CLIP vocabulary must have")]
    MissingToken(String),
    /// Two tokens share an id.
    #[error("vocab.json gives id {0} to two tokens")]
    DuplicateId(u32),
    /// There is no room for text.
    #[error("the context length is {0}, but at least 3 tokens are needed: start, one piece, end")]
    MaxTokens(usize),
}

/// A text as the text encoder sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids: start, pieces, end, then padding up to the context length.
    pub ids: Vec<u32>,
    /// What each piece spells, aligned with `ids[1..]`. Bytes that are no whole character read `<F0>`.
    pub pieces: Vec<String>,
    /// Whether the piece of the same index ends a word.
    pub ends_word: Vec<bool>,
    /// How many pieces did not fit.
    pub dropped: usize,
    /// Index of the end token in `ids`.
    pub end: usize,
}

/// A CLIP vocabulary ready to encode.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    ids: HashMap<String, u32>,
    tokens: HashMap<u32, String>,
    merges: Merges,
    /// Ids of the single bytes, inside a word and at its end.
    byte_ids: [[u32; 2]; 256],
    bytes: HashMap<char, u8>,
    bos: u32,
    eos: u32,
    pad: u32,
    max_tokens: usize,
}

impl ClipTokenizer {
    /// Reads `vocab.json` and `merges.txt`. Padding is by the end token, as in Stable Diffusion 1.x; see [`Self::with_config`].
    ///
    /// # Errors
    /// [`TokenizerError`] when a file is malformed, when the two contradict each other, when a byte symbol or a special
    /// token is missing, or when `max_tokens` is below 3.
    pub fn from_files(vocab_json: &[u8], merges_txt: &[u8], max_tokens: usize) -> Result<Self, TokenizerError> {
        if max_tokens < 3 {
            return Err(TokenizerError::MaxTokens(max_tokens));
        }
        let ids: HashMap<String, u32> = serde_json::from_slice(vocab_json).map_err(TokenizerError::Vocab)?;
        let mut tokens = HashMap::with_capacity(ids.len());
        for (token, &id) in &ids {
            if tokens.insert(id, token.clone()).is_some() {
                return Err(TokenizerError::DuplicateId(id));
            }
        }
        let id_of = |token: &str| ids.get(token).copied().ok_or_else(|| TokenizerError::MissingToken(token.to_owned()));
        let symbols = byte_symbols();
        let mut byte_ids = [[0; 2]; 256];
        for (&symbol, byte) in symbols.iter().zip(0_usize..) {
            byte_ids[byte] = [id_of(&symbol.to_string())?, id_of(&format!("{symbol}{WORD_END}"))?];
        }
        let merges = parse_merges(std::str::from_utf8(merges_txt).map_err(TokenizerError::MergesText)?, &ids)?;
        let bytes = symbols.iter().copied().zip(0_u8..=255).collect();
        let (bos, eos) = (id_of(BOS)?, id_of(EOS)?);
        Ok(Self { ids, tokens, merges, byte_ids, bytes, bos, eos, pad: eos, max_tokens })
    }

    /// Takes the padding token from a `tokenizer_config.json` or `special_tokens_map.json` (`pad_token`, as a string or as an
    /// object with `content`); where it names none, nothing changes. Stable Diffusion 2.x pads with `!`, id 0.
    ///
    /// # Errors
    /// [`TokenizerError`] when the file is not such JSON or the token is not in the vocabulary.
    pub fn with_config(mut self, config_json: &[u8]) -> Result<Self, TokenizerError> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Token {
            Plain(String),
            Full { content: String },
        }
        #[derive(serde::Deserialize)]
        struct Config {
            pad_token: Option<Token>,
        }
        let config: Config = serde_json::from_slice(config_json).map_err(TokenizerError::Config)?;
        if let Some(Token::Plain(content) | Token::Full { content }) = config.pad_token {
            self.pad = self.ids.get(&content).copied().ok_or(TokenizerError::MissingToken(content))?;
        }
        Ok(self)
    }

    /// Pads with the token of this id.
    pub fn with_pad_id(self, pad: u32) -> Self {
        Self { pad, ..self }
    }

    /// Context length: the length of every [`Encoding::ids`].
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The smallest embedding table that holds every id: the largest id plus one.
    pub fn vocab_size(&self) -> usize {
        self.tokens.keys().max().map_or(0, |&id| id as usize + 1)
    }

    /// Id of the padding token.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// Encodes any text. The work grows as n log n with the length of the longest word and linearly with everything else.
    pub fn encode(&self, text: &str) -> Encoding {
        let room = self.max_tokens - 2;
        let mut kept: Vec<u32> = Vec::with_capacity(self.max_tokens);
        let mut total = 0_usize;
        let mut take = |ids: &[u32]| {
            kept.extend(ids.iter().take(room - kept.len()));
            total += ids.len();
        };
        for part in split_specials(text) {
            match part {
                Part::Special(token) => take(&[if token == BOS { self.bos } else { self.eos }]),
                Part::Text(text) => for_each_word(&normalize(text), |word| take(&self.encode_word(word))),
            }
        }
        let (pieces, ends_word) = kept.iter().map(|&id| self.spell(id)).unzip();
        let mut ids = Vec::with_capacity(self.max_tokens);
        ids.push(self.bos);
        ids.extend(&kept);
        ids.push(self.eos);
        ids.resize(self.max_tokens, self.pad);
        Encoding { ids, pieces, ends_word, dropped: total - kept.len(), end: kept.len() + 1 }
    }

    /// What a token spells and whether it ends a word; the two special tokens spell themselves.
    pub fn spell(&self, id: u32) -> (String, bool) {
        let Some(token) = self.tokens.get(&id) else { return (format!("<{id}>"), true) };
        if id == self.bos || id == self.eos {
            return (token.clone(), true);
        }
        let (body, ends) = token.strip_suffix(WORD_END).map_or((token.as_str(), false), |body| (body, true));
        let Some(bytes) = body.chars().map(|c| self.bytes.get(&c).copied()).collect::<Option<Vec<u8>>>() else {
            return (body.to_owned(), ends);
        };
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("<{byte:02X}>")));
        }
        (text, ends)
    }

    /// Ids of one word: its bytes, merged from the lowest rank up, leftmost first.
    fn encode_word(&self, word: &str) -> Vec<u32> {
        let bytes = word.as_bytes();
        let Some(last) = bytes.len().checked_sub(1) else { return Vec::new() };
        let mut ids: Vec<u32> = bytes.iter().zip(0..).map(|(&b, i)| self.byte_ids[usize::from(b)][usize::from(i == last)]).collect();
        // A doubly linked list in two arrays; a merge keeps its left node and unlinks its right one.
        const NONE: usize = usize::MAX;
        let mut previous: Vec<usize> = (0..ids.len()).map(|i| i.wrapping_sub(1)).collect();
        let mut next: Vec<usize> = (1..=ids.len()).map(|i| if i == ids.len() { NONE } else { i }).collect();
        let mut alive = vec![true; ids.len()];
        let mut queue = BinaryHeap::new();
        let offer = |queue: &mut BinaryHeap<_>, ids: &[u32], left: usize, right: usize| {
            if let Some(&(rank, union)) = self.merges.get(&(ids[left], ids[right])) {
                queue.push(Reverse((rank, left, right, union, ids[left], ids[right])));
            }
        };
        for left in 0..last {
            offer(&mut queue, &ids, left, left + 1);
        }
        while let Some(Reverse((_, left, right, union, left_id, right_id))) = queue.pop() {
            // An entry is stale once either side was merged into something else.
            if !alive[left] || !alive[right] || next[left] != right || ids[left] != left_id || ids[right] != right_id {
                continue;
            }
            ids[left] = union;
            alive[right] = false;
            next[left] = next[right];
            if next[left] != NONE {
                previous[next[left]] = left;
                offer(&mut queue, &ids, left, next[left]);
            }
            if previous[left] != NONE {
                offer(&mut queue, &ids, previous[left], left);
            }
        }
        ids.iter().zip(&alive).filter_map(|(&id, &alive)| alive.then_some(id)).collect()
    }
}

fn parse_merges(text: &str, ids: &HashMap<String, u32>) -> Result<Merges, TokenizerError> {
    let mut merges = HashMap::new();
    for (line, content) in (1..).zip(text.lines()) {
        if content.is_empty() || (line == 1 && content.starts_with("#version")) {
            continue;
        }
        let wrong = |problem| TokenizerError::Merge { line, content: content.chars().take(60).collect(), problem };
        let (left, right) = content.split_once(' ').ok_or_else(|| wrong("expected two symbols separated by one space"))?;
        let id_of = |symbol: &str| ids.get(symbol).copied();
        let pair = id_of(left).zip(id_of(right)).ok_or_else(|| wrong("a symbol is not in vocab.json"))?;
        let union = id_of(&format!("{left}{right}")).ok_or_else(|| wrong("the merged symbol is not in vocab.json"))?;
        let rank = u32::try_from(line).map_err(|_| wrong("too many lines"))?;
        merges.insert(pair, (rank, union));
    }
    Ok(merges)
}

/// The printable character that stands for each byte: itself where it is printable Latin-1, else one from U+0100 on.
fn byte_symbols() -> [char; 256] {
    let mut next = 0x100_u32;
    std::array::from_fn(|byte| match byte as u32 {
        printable @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => char::from(printable as u8),
        _ => {
            let symbol = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
            next += 1;
            symbol
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const CORPUS: [&str; 4] = ["a red house by the sea", "The red boat, by night!", "don't: 12 houses", "red red Ünïcode 🎈🎈"];

    fn corpus() -> impl Iterator<Item = &'static str> {
        CORPUS.into_iter().cycle().take(2 * CORPUS.len())
    }

    fn trained(merges: usize, max_tokens: usize) -> ClipTokenizer {
        let (vocab, merges) = train_bpe(corpus(), merges);
        ClipTokenizer::from_files(vocab.as_bytes(), merges.as_bytes(), max_tokens).unwrap()
    }

    #[test]
    fn a_trained_vocabulary_has_clips_layout_and_reads_back() {
        let (vocab, merges) = train_bpe(corpus(), 20);
        let ids: BTreeMap<String, u32> = serde_json::from_str(&vocab).unwrap();
        assert_eq!(ids["!"], 0);
        assert_eq!(ids["!</w>"], 256);
        assert_eq!(merges.lines().count(), 21);
        assert_eq!(ids[BOS], 512 + 20);
        assert_eq!(ids[EOS], 512 + 21);
        assert_eq!((vocab, merges), train_bpe(corpus(), 20), "training is deterministic");
        assert_eq!(trained(20, 8).vocab_size(), 534);
    }

    #[test]
    fn frequent_words_become_one_piece_and_others_fall_into_visible_ones() {
        let tokenizer = trained(200, 32);
        let encoding = tokenizer.encode("  RED\tzebra 🎈é ");
        assert_eq!(encoding.pieces[0], "red");
        assert!(encoding.ends_word[0]);
        assert_eq!(encoding.pieces.concat(), "redzebra<F0><9F><8E><88><C3><A9>");
        assert_eq!(encoding.end, encoding.pieces.len() + 1);
        assert_eq!(encoding.ids.len(), 32);
        assert!(encoding.ids[encoding.end..].iter().all(|&id| id == tokenizer.eos));
    }

    #[test]
    fn every_text_comes_back_from_its_pieces() {
        let tokenizer = trained(200, 4096);
        for text in ["", " ", "'s'll!'s", "ŒUVRE ß ﬁ İ", "你好,世界", "\u{0}\u{7f}\u{ad}", "हिन्दी", "<|ENDOFTEXT|>!!", "e\u{301}"]
        {
            let encoding = tokenizer.encode(text);
            let bytes: Vec<u8> = encoding.ids[1..encoding.end]
                .iter()
                .flat_map(|id| tokenizer.tokens[id].replace(WORD_END, "").chars().map(|c| tokenizer.bytes[&c]).collect::<Vec<_>>())
                .collect();
            let expected: String = normalize(text).split_whitespace().collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn long_text_is_cut_and_counted_in_good_time() {
        let tokenizer = trained(20, 8);
        let words = "red ".repeat(500_000);
        let encoding = tokenizer.encode(&words);
        assert_eq!((encoding.pieces.len(), encoding.dropped, encoding.end), (6, 499_994, 7));
        let one_word = "houser".repeat(300_000);
        let encoding = tokenizer.encode(&one_word);
        assert_eq!(encoding.ids.len(), 8);
        assert!(encoding.dropped > 100_000);
        let openings = "<|".repeat(500_000);
        assert!(tokenizer.encode(&openings).dropped > 100);
    }

    #[test]
    fn bad_files_are_refused_with_the_reason() {
        let (vocab, merges) = train_bpe(corpus(), 5);
        let load = |v: &str, m: &str, n| ClipTokenizer::from_files(v.as_bytes(), m.as_bytes(), n).map(|_| ()).unwrap_err().to_string();
        assert!(load("[1]", &merges, 8).contains("vocab.json"));
        assert!(load("{}", &merges, 8).contains("no token"));
        assert!(load(&vocab, "#version: 0.2\nx\n", 8).contains("line 2"));
        assert!(load(&vocab, "q q\n", 8).contains("merged symbol"));
        assert!(load(&vocab, &merges, 2).contains("at least 3"));
        assert!(load(&vocab.replace(": 7,", ": 8,"), &merges, 8).contains("id 8"));
        assert!(ClipTokenizer::from_files(vocab.as_bytes(), b"\xff\xfe", 8).is_err());
    }

    #[test]
    fn encodings_are_those_of_the_reference_library() {
        #[derive(serde::Deserialize)]
        struct Case {
            text: String,
            ids: Vec<u32>,
            dropped: usize,
        }
        #[derive(serde::Deserialize)]
        struct Golden {
            encodings: Vec<Case>,
        }
        let tokenizer = ClipTokenizer::from_files(
            include_bytes!("../../tests/golden/tokenizer/vocab.json"),
            include_bytes!("../../tests/golden/tokenizer/merges.txt"),
            32,
        )
        .unwrap()
        .with_config(include_bytes!("../../tests/golden/tokenizer/tokenizer_config.json"))
        .unwrap();
        let prompt = tokenizer.encode("a red house left of a yellow balloon by the sea at night");
        assert_eq!(prompt.ids[..prompt.end], [619, 320, 538, 572, 598, 532, 320, 548, 576, 539, 516, 594, 522, 529]);
        assert_eq!(prompt.pieces.join(" "), "a red house left of a yellow balloon by the sea at night");

        let golden: Golden = serde_json::from_slice(include_bytes!("../../tests/golden/tokenizer/encodings.json")).unwrap();
        assert!(golden.encodings.len() > 25);
        for Case { text, ids, dropped } in golden.encodings {
            let encoding = tokenizer.encode(&text);
            assert_eq!(encoding.ids, ids, "{text:?}");
            assert_eq!(encoding.dropped, dropped, "{text:?}");
        }
    }

    #[test]
    fn padding_follows_the_configuration() {
        let tokenizer = trained(5, 6).with_config(br#"{"pad_token": {"content": "!", "special": true}}"#).unwrap();
        assert_eq!(tokenizer.encode("").ids, [tokenizer.bos, tokenizer.eos, 0, 0, 0, 0]);
        assert!(trained(5, 6).with_config(br#"{"pad_token": "no such"}"#).is_err());
        assert_eq!(trained(5, 6).with_config(b"{}").unwrap().pad_id(), tokenizer.eos);
    }
}
