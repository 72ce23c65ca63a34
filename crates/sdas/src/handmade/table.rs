//! All networks by name.

use super::classic::{alexnet, alexnet_2012, vgg};
use super::densenet::{self, densenet};
use super::inception::{bn_inception, googlenet, xception};
use super::inflated::{i3d, s3d};
use super::mobile::{mobilenet_v1, mobilenet_v2, shufflenet_v1, shufflenet_v2};
use super::residual3d::{C2D, Form, I3D, SLOW, Similarity, inflated_resnet50, p3d, resnet3d, video_resnet};
use super::resnet::{BOTTLENECK, Block, Residual, Stem, Strided, cifar, preactivated, resnet};
use super::searched::{AMOEBANET_A, ENAS, NASNET_A, PNASNET_5, Plan, Start, searched};
use super::streams::{Frames, Fusion, c3d, fused_frames, temporal_linear_encoding, two_stream};
use super::{Handmade, Sizes};
use crate::layers::Graph;
use sdas_kernels::Extent;

type Build = fn(&Sizes) -> Graph;

const fn network(name: &'static str, extent: Extent, inputs: usize, classes: usize, build: Build) -> Handmade {
    Handmade { name, usual: Sizes { extent, inputs, classes, width: 1.0 }, build }
}

/// For ImageNet.
const fn picture(name: &'static str, build: Build) -> Handmade {
    network(name, [1, 224, 224], 3, 1000, build)
}

/// For CIFAR-10.
const fn small(name: &'static str, build: Build) -> Handmade {
    network(name, [1, 32, 32], 3, 10, build)
}

/// For Kinetics.
const fn clip(name: &'static str, extent: Extent, build: Build) -> Handmade {
    network(name, extent, 3, 400, build)
}

const fn imagenet(blocks: &'static [usize], block: Block) -> Residual {
    Residual { blocks, block, stem: Stem::Large, gated: false }
}

const fn gated(residual: Residual) -> Residual {
    Residual { gated: true, ..residual }
}

const fn grouped(groups: usize, width: usize) -> Block {
    Block::Bottleneck { groups, width, strided: Strided::Middle }
}

/// The paper's bottleneck, whose first convolution has the stride.
const FIRST: Block = Block::Bottleneck { groups: 1, width: 64, strided: Strided::First };
const WIDE: Block = grouped(1, 128);

const SEVERAL: [usize; 4] = [3, 4, 6, 3];
const MANY: [usize; 4] = [3, 4, 23, 3];
const MOST: [usize; 4] = [3, 8, 36, 3];

const fn resnext29(groups: usize, width: usize) -> Residual {
    Residual { blocks: &[3, 3, 3], block: grouped(groups, width), stem: Stem::Small(64), gated: false }
}

const fn cells(filters: usize, repeats: [usize; 3], start: Start) -> Plan {
    Plan { filters, repeats, start, skips: false }
}

/// Flow planes that the temporal stream sees: two directions of ten pairs of frames.
const FLOW: usize = 20;
/// What the networks of 16 frames see.
const SIXTEEN: Extent = [16, 112, 112];
/// What non-local networks see.
const HALF: Extent = [32, 224, 224];
/// What the networks with Inception's modules see.
const LONG: Extent = [64, 224, 224];

/// All networks that people made, pictures first.
pub static NETWORKS: &[Handmade] = &[
    picture("alexnet", alexnet),
    picture("alexnet_2012", alexnet_2012),
    picture("vgg11", |s| vgg(s, [1, 1, 2, 2, 2], false)),
    picture("vgg11_bn", |s| vgg(s, [1, 1, 2, 2, 2], true)),
    picture("vgg13", |s| vgg(s, [2, 2, 2, 2, 2], false)),
    picture("vgg13_bn", |s| vgg(s, [2, 2, 2, 2, 2], true)),
    picture("vgg16", |s| vgg(s, [2, 2, 3, 3, 3], false)),
    picture("vgg16_bn", |s| vgg(s, [2, 2, 3, 3, 3], true)),
    picture("vgg19", |s| vgg(s, [2, 2, 4, 4, 4], false)),
    picture("vgg19_bn", |s| vgg(s, [2, 2, 4, 4, 4], true)),
    picture("googlenet", googlenet),
    picture("bn_inception", bn_inception),
    network("xception", [1, 299, 299], 3, 1000, xception),
    picture("resnet18", |s| resnet(s, imagenet(&[2, 2, 2, 2], Block::Basic))),
    picture("resnet34", |s| resnet(s, imagenet(&SEVERAL, Block::Basic))),
    picture("resnet50", |s| resnet(s, imagenet(&SEVERAL, BOTTLENECK))),
    picture("resnet50_v1", |s| resnet(s, imagenet(&SEVERAL, FIRST))),
    picture("resnet101", |s| resnet(s, imagenet(&MANY, BOTTLENECK))),
    picture("resnet152", |s| resnet(s, imagenet(&MOST, BOTTLENECK))),
    picture("wide_resnet50_2", |s| resnet(s, imagenet(&SEVERAL, WIDE))),
    picture("resnext50_32x4d", |s| resnet(s, imagenet(&SEVERAL, grouped(32, 4)))),
    picture("resnext101_32x8d", |s| resnet(s, imagenet(&MANY, grouped(32, 8)))),
    picture("resnext101_64x4d", |s| resnet(s, imagenet(&MANY, grouped(64, 4)))),
    picture("seresnet18", |s| resnet(s, gated(imagenet(&[2, 2, 2, 2], Block::Basic)))),
    picture("seresnet50", |s| resnet(s, gated(imagenet(&SEVERAL, BOTTLENECK)))),
    picture("seresnet50_v1", |s| resnet(s, gated(imagenet(&SEVERAL, FIRST)))),
    picture("seresnet101", |s| resnet(s, gated(imagenet(&MANY, BOTTLENECK)))),
    picture("seresnext50_32x4d", |s| resnet(s, gated(imagenet(&SEVERAL, grouped(32, 4))))),
    picture("senet154", |s| {
        resnet(s, Residual { blocks: &MOST, block: Block::Doubled, stem: Stem::Deep, gated: true })
    }),
    picture("densenet121", |s| densenet(s, densenet::imagenet(&[6, 12, 24, 16], 32, 64))),
    picture("densenet161", |s| densenet(s, densenet::imagenet(&[6, 12, 36, 24], 48, 96))),
    picture("densenet169", |s| densenet(s, densenet::imagenet(&[6, 12, 32, 32], 32, 64))),
    picture("densenet201", |s| densenet(s, densenet::imagenet(&[6, 12, 48, 32], 32, 64))),
    picture("mobilenet_v1", mobilenet_v1),
    picture("mobilenet_v2", mobilenet_v2),
    picture("shufflenet_v1_g1", |s| shufflenet_v1(s, 1, [144, 288, 576])),
    picture("shufflenet_v1_g2", |s| shufflenet_v1(s, 2, [200, 400, 800])),
    picture("shufflenet_v1_g3", |s| shufflenet_v1(s, 3, [240, 480, 960])),
    picture("shufflenet_v1_g4", |s| shufflenet_v1(s, 4, [272, 544, 1088])),
    picture("shufflenet_v1_g8", |s| shufflenet_v1(s, 8, [384, 768, 1536])),
    picture("shufflenet_v2_x0_5", |s| shufflenet_v2(s, [48, 96, 192, 1024])),
    picture("shufflenet_v2_x1_0", |s| shufflenet_v2(s, [116, 232, 464, 1024])),
    picture("shufflenet_v2_x1_5", |s| shufflenet_v2(s, [176, 352, 704, 1024])),
    picture("shufflenet_v2_x2_0", |s| shufflenet_v2(s, [244, 488, 976, 2048])),
    picture("nasnet_a_mobile", |s| searched(s, &NASNET_A, cells(44, [4; 3], Start::Reductions(32)))),
    network("nasnet_a_large", [1, 331, 331], 3, 1000, |s| {
        searched(s, &NASNET_A, Plan { skips: true, ..cells(168, [6; 3], Start::Reductions(96)) })
    }),
    picture("amoebanet_a_mobile", |s| searched(s, &AMOEBANET_A, cells(50, [4; 3], Start::Reductions(32)))),
    // The cell that reduces the size is one of a part's.
    picture("pnasnet5_mobile", |s| searched(s, &PNASNET_5, cells(54, [3, 2, 2], Start::Reductions(32)))),
    network("pnasnet5_large", [1, 331, 331], 3, 1000, |s| {
        searched(s, &PNASNET_5, cells(216, [4, 3, 3], Start::Reductions(96)))
    }),
    small("nasnet_a", |s| searched(s, &NASNET_A, cells(32, [6; 3], Start::Convolution))),
    small("amoebanet_a", |s| searched(s, &AMOEBANET_A, cells(36, [6; 3], Start::Convolution))),
    small("pnasnet5", |s| searched(s, &PNASNET_5, cells(48, [3, 2, 2], Start::Convolution))),
    small("enas", |s| searched(s, &ENAS, cells(36, [5; 3], Start::Convolution))),
    small("resnet20", |s| resnet(s, cifar(&[3, 3, 3]))),
    small("resnet56", |s| resnet(s, cifar(&[9, 9, 9]))),
    small("resnet110", |s| resnet(s, cifar(&[18, 18, 18]))),
    small("seresnet20", |s| resnet(s, gated(cifar(&[3, 3, 3])))),
    small("preresnet20", |s| preactivated(s, 3, 1)),
    small("preresnet110", |s| preactivated(s, 18, 1)),
    small("wrn16_10", |s| preactivated(s, 2, 10)),
    small("wrn28_10", |s| preactivated(s, 4, 10)),
    small("wrn40_8", |s| preactivated(s, 6, 8)),
    small("resnext29_32x4d", |s| resnet(s, resnext29(32, 4))),
    small("resnext29_16x64d", |s| resnet(s, resnext29(16, 64))),
    // The paper's have transitions that keep the channels; pytorchcv's halve them ("C").
    small("densenet40_12", |s| densenet(s, densenet::cifar(&[12, 12, 12], 12, false, false))),
    small("densenet_c40_12", |s| densenet(s, densenet::cifar(&[12, 12, 12], 12, false, true))),
    small("densenet_c100_12", |s| densenet(s, densenet::cifar(&[32, 32, 32], 12, false, true))),
    small("densenet_bc100_12", |s| densenet(s, densenet::cifar(&[16, 16, 16], 12, true, true))),
    small("densenet_bc190_40", |s| densenet(s, densenet::cifar(&[31, 31, 31], 40, true, true))),
    clip("c3d", SIXTEEN, c3d),
    clip("i3d", LONG, i3d),
    clip("s3d", LONG, |s| s3d(s, false)),
    clip("s3d_g", LONG, |s| s3d(s, true)),
    clip("r3d_18", SIXTEEN, |s| video_resnet(s, [2, 2, 2, 2], Form::Full)),
    clip("mc3_18", SIXTEEN, |s| video_resnet(s, [2, 2, 2, 2], Form::Mixed)),
    clip("r2plus1d_18", SIXTEEN, |s| video_resnet(s, [2, 2, 2, 2], Form::Parted)),
    clip("r2plus1d_34", SIXTEEN, |s| video_resnet(s, SEVERAL, Form::Parted)),
    clip("resnet3d_10", SIXTEEN, |s| resnet3d(s, [1, 1, 1, 1], false, Form::Full)),
    clip("resnet3d_18", SIXTEEN, |s| resnet3d(s, [2, 2, 2, 2], false, Form::Full)),
    clip("resnet3d_34", SIXTEEN, |s| resnet3d(s, SEVERAL, false, Form::Full)),
    clip("resnet3d_50", SIXTEEN, |s| resnet3d(s, SEVERAL, true, Form::Full)),
    clip("resnet3d_101", SIXTEEN, |s| resnet3d(s, MANY, true, Form::Full)),
    clip("resnet3d_152", SIXTEEN, |s| resnet3d(s, MOST, true, Form::Full)),
    clip("resnet3d_200", SIXTEEN, |s| resnet3d(s, [3, 24, 36, 3], true, Form::Full)),
    clip("resnet2p1d_18", SIXTEEN, |s| resnet3d(s, [2, 2, 2, 2], false, Form::Parted)),
    clip("resnet2p1d_34", SIXTEEN, |s| resnet3d(s, SEVERAL, false, Form::Parted)),
    clip("resnet2p1d_50", SIXTEEN, |s| resnet3d(s, SEVERAL, true, Form::Parted)),
    clip("resnet2p1d_101", SIXTEEN, |s| resnet3d(s, MANY, true, Form::Parted)),
    clip("p3d63", [16, 160, 160], |s| p3d(s, SEVERAL)),
    clip("p3d131", [16, 160, 160], |s| p3d(s, MANY)),
    clip("p3d199", [16, 160, 160], |s| p3d(s, MOST)),
    clip("c2d_r50", [8, 224, 224], |s| inflated_resnet50(s, C2D, None)),
    clip("i3d_r50", [8, 224, 224], |s| inflated_resnet50(s, I3D, None)),
    clip("slow_r50", [8, 224, 224], |s| inflated_resnet50(s, SLOW, None)),
    clip("non_local_r50", HALF, |s| inflated_resnet50(s, I3D, Some(Similarity::EmbeddedGaussian))),
    clip("non_local_r50_dot", HALF, |s| inflated_resnet50(s, I3D, Some(Similarity::DotProduct))),
    clip("non_local_r50_gaussian", HALF, |s| inflated_resnet50(s, I3D, Some(Similarity::Gaussian))),
    network("two_stream_spatial", [1, 224, 224], 3, 101, |s| vgg(s, [2, 2, 3, 3, 3], false)),
    network("two_stream_temporal", [1, 224, 224], FLOW, 101, |s| vgg(s, [2, 2, 3, 3, 3], false)),
    network("two_stream", [1, 224, 224], 3 + FLOW, 101, |s| two_stream(s, Fusion::Late)),
    network("two_stream_fused", [1, 224, 224], 3 + FLOW, 101, |s| two_stream(s, Fusion::Convolution)),
    network("tle_bn_inception", [3, 224, 224], 3, 101, temporal_linear_encoding),
    network("frames_single", [1, 170, 170], 3, 487, |s| fused_frames(s, Frames::Single)),
    network("frames_early", [10, 170, 170], 3, 487, |s| fused_frames(s, Frames::Early)),
    network("frames_late", [2, 170, 170], 3, 487, |s| fused_frames(s, Frames::Late)),
    network("frames_slow", [10, 170, 170], 3, 487, |s| fused_frames(s, Frames::Slow)),
];
