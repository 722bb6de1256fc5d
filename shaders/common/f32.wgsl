// Storage of tensors in single precision. This file or f16.wgsl comes before everything else.

alias Value = f32;
