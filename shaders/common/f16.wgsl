// Storage of tensors in half precision; every sum and every function is computed in f32 all the same.
enable f16;

alias Value = f16;
