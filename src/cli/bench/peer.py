"""The other side of `diffuscope bench --peer PYTHON`: the same model, or the same training step, in PyTorch and OpenVINO.

One command a line on standard input, one answer a line on standard output: `ok` and JSON, `ms` and a number, `error` and a
message. Commands are a word and JSON: `hello`, `open`, `openvino`, `train`, `large`, `warm`, `run`, `picture`. It ends with its input.
"""
import json, os, sys, time, traceback

# Whatever a library prints goes to standard error, so that answers alone are on the pipe.
answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
os.dup2(2, 1)

# What can be run, by name.
things = {}
# What several commands share: the device, the model, the last picture.
state = {}


def sync():
    """A graphics card answers before it has done its work."""
    if state["device"] != "cpu":
        state["torch"].cuda.synchronize()


def hello(given):
    import diffusers, torch, transformers
    torch.set_num_threads(given["threads"])
    torch.manual_seed(0)
    if given["device"] != "cpu" and not torch.cuda.is_available():
        raise RuntimeError(f"this PyTorch does not see the device {given['device']}")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    state.update(torch=torch, threads=given["threads"], device=given["device"])
    return {"torch": torch.__version__, "diffusers": diffusers.__version__, "threads": torch.get_num_threads()}


def open_model(given):
    """The model of a diffusers folder, and what is run of it. Nothing is cast, compiled or fused: PyTorch as it comes."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer
    torch, device, folder = state["torch"], state["device"], given["folder"]
    torch.set_grad_enabled(False)

    def part(kind, name):
        try:
            network = kind.from_pretrained(folder, subfolder=name, local_files_only=True)
        except OSError:  # some folders hold the half-precision files alone
            network = kind.from_pretrained(folder, subfolder=name, local_files_only=True, variant="fp16")
        return network.float().eval().to(device)

    tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
    text, unet, vae = part(CLIPTextModel, "text_encoder"), part(UNet2DConditionModel, "unet"), part(AutoencoderKL, "vae")
    scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
    with open(given["latents"], "rb") as file:
        latents = torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(given["shape"]).to(device)

    def encode():
        ids = tokenizer([given["negative"], given["prompt"]], padding="max_length", truncation=True,
                        max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
        return text(ids.to(device))[0]

    def decode(z):
        return vae.decode(z / vae.config.scaling_factor).sample

    def generate():
        scheduler.set_timesteps(given["steps"])
        embedding, z = encode(), latents * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            x = scheduler.scale_model_input(torch.cat([z, z]), t)
            uncond, cond = unet(x, t, encoder_hidden_states=embedding).sample.chunk(2)
            z = scheduler.step(uncond + given["guidance"] * (cond - uncond), t, z).prev_sample
        state["picture"] = (decode(z)[0] / 2 + 0.5).clamp(0, 1)

    embedding, x = encode(), torch.cat([latents, latents])
    t = torch.tensor(int(given["timestep"]), device=device)
    things["text_encode"] = encode
    things["unet_guided"] = lambda: unet(x, t, encoder_hidden_states=embedding).sample
    things["vae_decode"] = lambda: decode(latents)
    things["generate_20"] = generate
    state.update(unet=unet, vae=vae, latents=latents, embedding=embedding, timestep=int(given["timestep"]))
    return {}


def open_openvino(_):
    """The same U-Net and decoder in OpenVINO, f32, with the model's own shapes fixed."""
    try:
        import openvino
    except ImportError as error:
        return {"missing": str(error)}
    if state["device"] != "cpu":
        return {"missing": "it is run on the processor only"}
    torch, unet, vae = state["torch"], state["unet"], state["vae"]

    class Unet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = unet

        def forward(self, x, t, h):
            return self.unet(x, t, encoder_hidden_states=h, return_dict=False)[0]

    class Decode(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vae = vae

        def forward(self, z):
            return self.vae.decode(z, return_dict=False)[0]

    z, h = state["latents"], state["embedding"]
    x, t = torch.cat([z, z]), torch.tensor([state["timestep"]] * 2)
    scaled = z / vae.config.scaling_factor
    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": state["threads"], "PERFORMANCE_HINT": "LATENCY"}

    def compiled(module, inputs):
        shapes = [list(tensor.shape) for tensor in inputs]
        return core.compile_model(openvino.convert_model(module, example_input=tuple(inputs), input=shapes), "CPU", config)

    ov_unet, ov_decode = compiled(Unet(), [x, t, h]), compiled(Decode(), [scaled])
    arrays, array = [x.numpy(), t.numpy(), h.numpy()], scaled.numpy()
    things["openvino_unet_guided"] = lambda: ov_unet(arrays)
    things["openvino_vae_decode"] = lambda: ov_decode([array])
    return {"openvino": openvino.__version__.split("-")[0]}


def train(given):
    """A training step of a network that diffusers builds from our configuration, on one random batch."""
    from contextlib import nullcontext
    from diffusers import AutoencoderKL, UNet2DConditionModel
    torch, device, batch = state["torch"], state["device"], given["batch"]
    last = torch.channels_last
    kind = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}[given["network"]]
    model = kind.from_config(given["config"]).to(device).train().to(memory_format=last)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = dict(lr=given["rate"], betas=tuple(given["betas"]), eps=given["eps"], weight_decay=given["weight_decay"])
    try:
        optimizer = torch.optim.AdamW(parameters, fused=True, **settings)
    except (RuntimeError, TypeError):
        optimizer = torch.optim.AdamW(parameters, **settings)
    half = given["precision"] == "bf16"
    precision = lambda: torch.autocast(device, dtype=torch.bfloat16) if half else nullcontext()
    c = model.config
    if given["network"] == "unet":
        shape = (batch, c.in_channels, c.sample_size, c.sample_size)
        noisy, target = (torch.randn(shape, device=device).to(memory_format=last) for _ in range(2))
        embedding = torch.randn(batch, given["tokens"], c.cross_attention_dim, device=device)
        timesteps = torch.randint(0, 1000, (batch,), device=device)
        weights = torch.ones(batch, device=device)

        def loss():
            with precision():
                output = model(noisy, timesteps, encoder_hidden_states=embedding).sample
            return (weights * (output.float() - target).square().mean(dim=(1, 2, 3))).mean()
    else:
        side, latent = given["side"], given["side"] // 2 ** (len(c.block_out_channels) - 1)
        pictures = (2 * torch.rand(batch, c.in_channels, side, side, device=device) - 1).to(memory_format=last)
        noise = torch.randn(batch, c.latent_channels, latent, latent, device=device)

        def loss():
            with precision():
                posterior = model.encode(pictures).latent_dist
                mean, logvar = posterior.mean.float(), posterior.logvar.float()
                output = model.decode(mean + (0.5 * logvar).exp() * noise).sample.float()
            error = output - pictures
            across, down = error[..., :, 1:] - error[..., :, :-1], error[..., 1:, :] - error[..., :-1, :]
            edges = (across.abs().sum() + down.abs().sum()) / (across.numel() + down.numel())
            divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
            return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + 1e-3 * divergence

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        state["loss"] = value.item()

    # One network after the other: the one before is not needed any more.
    things.clear()
    things[given["name"]] = step
    return {"parameters": sum(parameter.numel() for parameter in parameters)}


def large(given):
    """One evaluation of a U-Net with random weights for two prompts: in half precision on a card, in single on the processor."""
    from diffusers import UNet2DConditionModel
    torch, device, side = state["torch"], state["device"], given["side"]
    torch.set_grad_enabled(False)
    kind = torch.float32 if device == "cpu" else torch.float16
    with torch.device(device):
        unet = UNet2DConditionModel.from_config(given["config"]).to(dtype=kind).eval()
        x = torch.randn(2, unet.config.in_channels, side, side, dtype=kind)
        text = torch.randn(2, given["tokens"], unet.config.cross_attention_dim, dtype=kind)
        t = torch.tensor(400)
    things.clear()
    things[given["name"]] = lambda: unet(x, t, encoder_hidden_states=text).sample
    return {"parameters": sum(parameter.numel() for parameter in unet.parameters())}


def once(name):
    started = time.perf_counter()
    things[name]()
    sync()
    return 1e3 * (time.perf_counter() - started)


def picture(given):
    """Leaves the last picture of `generate_20` in a file: f32, little-endian, `[3, H, W]`."""
    values = state["picture"].cpu().contiguous().numpy().astype("<f4")
    values.tofile(given["path"])
    return {"shape": list(values.shape)}


commands = {"hello": hello, "open": open_model, "openvino": open_openvino, "train": train, "large": large, "picture": picture}

for line in sys.stdin:
    command, _, rest = line.strip().partition(" ")
    try:
        if command in ("warm", "run"):
            # Time is taken here, around the work alone.
            milliseconds = once(rest)
            reply = f"ms {milliseconds:.6f}" if command == "run" else "ok {}"
        else:
            reply = "ok " + json.dumps(commands[command](json.loads(rest)))
    except Exception as error:
        traceback.print_exc()
        told = " ".join(str(error).split()) or "no message"
        reply = f"error {type(error).__name__}: {told}"
    print(reply, file=answers, flush=True)
