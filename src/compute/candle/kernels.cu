// Our kernels on NVIDIA cards: what candle composes of many passes, in one. f32; pictures [B, C, H, W], row-major.
// Compiled by NVRTC when a card is opened. Sums run in a fixed order, so results do not change from run to run.

// Sum of `value` over the block, for every thread. `blockDim.x` is a power of two, at most 1024.
__device__ float block_sum(float value) {
    __shared__ float partial[32];
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffff, value, offset);
    __syncthreads();
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int warp = 0; warp < blockDim.x / 32; warp++) sum += partial[warp];
    return sum;
}

// The windows of a convolution, side by side: columns [B, C * side * side, out_h * out_w] from x [B, C, height, width].
// One thread for each channel of each output pixel. Grid: (output pixels / block, C, B).
extern "C" __global__ void im2col(
    const float* __restrict__ x, float* __restrict__ columns,
    int height, int width, int side, int stride, int pad, int out_h, int out_w
) {
    int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    int pixels = out_h * out_w;
    if (pixel >= pixels) return;
    size_t plane = (size_t)blockIdx.z * gridDim.y + blockIdx.y;
    int top = pixel / out_w * stride - pad, left = pixel % out_w * stride - pad;
    const float* from = x + plane * height * width;
    float* to = columns + plane * side * side * pixels + pixel;
    for (int ky = 0; ky < side; ky++) {
        for (int kx = 0; kx < side; kx++) {
            int y = top + ky, at = left + kx;
            bool inside = y >= 0 && y < height && at >= 0 && at < width;
            *to = inside ? from[y * width + at] : 0.0f;
            to += pixels;
        }
    }
}

// The gradient of im2col: every pixel of x gets the sum of what its copies in the columns got.
// One thread for each pixel. Grid: (input pixels / block, C, B).
extern "C" __global__ void col2im(
    const float* __restrict__ columns, float* __restrict__ x,
    int height, int width, int side, int stride, int pad, int out_h, int out_w
) {
    int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= height * width) return;
    size_t plane = (size_t)blockIdx.z * gridDim.y + blockIdx.y;
    int pixels = out_h * out_w;
    int y = pixel / width + pad, at = pixel % width + pad;
    const float* from = columns + plane * side * side * pixels;
    float sum = 0.0f;
    for (int ky = 0; ky < side; ky++) {
        for (int kx = 0; kx < side; kx++) {
            int down = y - ky, across = at - kx;
            if (down < 0 || across < 0 || down % stride || across % stride) continue;
            int row = down / stride, column = across / stride;
            if (row < out_h && column < out_w) sum += from[(size_t)(ky * side + kx) * pixels + row * out_w + column];
        }
    }
    x[plane * height * width + pixel] = sum;
}

__device__ float silu(float z) { return z / (1.0f + expf(-z)); }

__device__ float silu_slope(float z) {
    float s = 1.0f / (1.0f + expf(-z));
    return s * (1.0f + z * (1.0f - s));
}

// Group normalisation (Wu and He 2018, arXiv 1803.08494) with an affine map and, where `with_silu`, SiLU.
// One block for each group of each sample; mean and variance in two passes. Grid: (groups, B).
// moments [B, groups, 2]: mean and 1 / sqrt(variance + eps), for the gradient.
extern "C" __global__ void group_norm(
    const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
    float* __restrict__ y, float* __restrict__ moments, int of_a_group, int pixels, float eps, int with_silu
) {
    size_t group = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    int count = of_a_group * pixels, first = blockIdx.x * of_a_group;
    const float* from = x + group * count;
    float* to = y + group * count;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += from[i];
    float mean = block_sum(sum) / count;
    sum = 0.0f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += (from[i] - mean) * (from[i] - mean);
    float scale = rsqrtf(block_sum(sum) / count + eps);
    if (threadIdx.x == 0) {
        moments[2 * group] = mean;
        moments[2 * group + 1] = scale;
    }
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        int channel = first + i / pixels;
        float z = (from[i] - mean) * scale * weight[channel] + bias[channel];
        to[i] = with_silu ? silu(z) : z;
    }
}

// The gradient of group_norm. With n the normalised x, z = n w + b and d = gradient * slope(z):
// by w: sum d n, by b: sum d, over the pixels, of each sample by itself (by_weight, by_bias [B, C]);
// by x: (d w - mean(d w) - n mean(d w n)) * scale, means over the group.
// One block for each group of each sample. Grid: (groups, B).
extern "C" __global__ void group_norm_backward(
    const float* __restrict__ gradient, const float* __restrict__ x, const float* __restrict__ weight,
    const float* __restrict__ bias, const float* __restrict__ moments, float* __restrict__ by_x,
    float* __restrict__ by_weight, float* __restrict__ by_bias, int of_a_group, int pixels, int with_silu
) {
    size_t group = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    int count = of_a_group * pixels, first = blockIdx.x * of_a_group;
    float mean = moments[2 * group], scale = moments[2 * group + 1];
    const float* from = x + group * count;
    const float* slope = gradient + group * count;
    float* to = by_x + group * count;
    float total = 0.0f, along = 0.0f;
    for (int c = 0; c < of_a_group; c++) {
        float w = weight[first + c], b = bias[first + c], sum = 0.0f, sum_n = 0.0f;
        for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
            float n = (from[c * pixels + i] - mean) * scale, d = slope[c * pixels + i];
            if (with_silu) d *= silu_slope(n * w + b);
            sum += d;
            sum_n += d * n;
        }
        sum = block_sum(sum);
        sum_n = block_sum(sum_n);
        if (threadIdx.x == 0) {
            by_bias[group * of_a_group + c] = sum;
            by_weight[group * of_a_group + c] = sum_n;
        }
        total += w * sum;
        along += w * sum_n;
    }
    total /= count;
    along /= count;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        int channel = first + i / pixels;
        float w = weight[channel], n = (from[i] - mean) * scale, d = slope[i];
        if (with_silu) d *= silu_slope(n * w + bias[channel]);
        to[i] = (d * w - total - n * along) * scale;
    }
}
