"""Everything that a frame or packet of the video can carry beside its samples, and what becomes of each kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from dossr_video.video.info import VideoInfo
from dossr_video.video.light import CODINGS
from dossr_video.video.mux import sei
from dossr_video.video.read.side_data import BRIGHTER
from dossr_video.video.write.encoders import EncoderSettings

# "kept": read by `probe` and written again. "sei": copied as an SEI message where both codecs have them, else lost;
# "hevc": likewise, but from HEVC to HEVC only. "none": describes how the source was coded, is applied by the decoder,
# or belongs to other streams.
Handling = Literal["kept", "sei", "hevc", "lost", "none"]

FRAMES: Mapping[str, tuple[Handling, str]] = {  # av.sidedata.Type, AV_FRAME_DATA_* of FFmpeg
    "A53_CC": ("sei", "closed captions (CEA-608/708)"),
    "AFD": ("sei", "active format description"),
    "AMBIENT_VIEWING_ENVIRONMENT": ("lost", "ambient viewing environment"),
    "AUDIO_SERVICE_TYPE": ("none", "audio service type"),
    "CONTENT_LIGHT_LEVEL": ("kept", "content light level"),
    "DETECTION_BBOXES": ("lost", "bounding boxes of detected objects"),
    "DISPLAYMATRIX": ("kept", "display matrix"),
    "DOVI_METADATA": ("lost", "Dolby Vision metadata"),
    "DOVI_RPU_BUFFER": ("lost", "Dolby Vision metadata"),
    "DOWNMIX_INFO": ("none", "downmix levels of audio"),
    "DYNAMIC_HDR_PLUS": ("hevc", "HDR10+ dynamic metadata"),
    "DYNAMIC_HDR_VIVID": ("hevc", "HDR Vivid dynamic metadata"),
    "FILM_GRAIN_PARAMS": ("none", "film grain, applied by the decoder"),
    "GOP_TIMECODE": ("none", "timecode of MPEG-2 groups of pictures"),
    "ICC_PROFILE": ("lost", "ICC colour profile"),
    "MASTERING_DISPLAY_METADATA": ("kept", "mastering display"),
    "MATRIXENCODING": ("none", "matrix encoding of audio"),
    "MOTION_VECTORS": ("none", "motion vectors of the source's coding"),
    "PANSCAN": ("lost", "pan and scan window"),
    "REGIONS_OF_INTEREST": ("none", "regions of interest for an encoder"),
    "REPLAYGAIN": ("none", "replay gain of audio"),
    "S12M_TIMECODE": ("lost", "timecode of every frame (SMPTE ST 12-1)"),
    "SEI_UNREGISTERED": ("sei", "user data (unregistered SEI)"),
    "SKIP_SAMPLES": ("none", "samples of audio to skip"),
    "SPHERICAL": ("lost", "spherical (360 degree) projection"),
    "STEREO3D": ("kept", "stereoscopic arrangement"),
    "VIDEO_ENC_PARAMS": ("none", "quantisers of the source's coding"),
    "VIDEO_HINT": ("none", "areas that changed since the frame before"),
    BRIGHTER: ("lost", "light brighter than white (values above 1.0, which --light pq keeps)"),
    "3D_REFERENCE_DISPLAYS": ("lost", "reference displays of stereoscopic video"),
    "EXIF": ("lost", "EXIF data but for the orientation"),
    "LCEVC": ("lost", "LCEVC enhancement layer"),
    "VIEW_ID": ("none", "number of the view of stereoscopic video"),
}
PACKETS: Mapping[str, tuple[Handling, str]] = {  # AV_PKT_DATA_*; of the video stream alone
    "3d_reference_displays": ("lost", "reference displays of stereoscopic video"),
    "a53_cc": ("lost", "closed captions (CEA-608/708) beside the video"),
    "afd": ("lost", "active format description beside the video"),
    "ambient_viewing_environment": ("lost", "ambient viewing environment"),
    "audio_service_type": ("none", "audio service type"),
    "content_light_level": ("kept", "content light level"),
    "cpb_properties": ("none", "buffer sizes of the source's coding"),
    "display_matrix": ("kept", "display matrix"),
    "dovi_conf": ("lost", "Dolby Vision metadata"),
    "dynamic_hdr10_plus": ("lost", "HDR10+ dynamic metadata beside the video"),
    "encryption_info": ("none", "encryption of the source"),
    "encryption_init_info": ("none", "encryption of the source"),
    "fallback_track": ("none", "fallback track"),
    "frame_cropping": ("none", "cropping of the container, applied when the file is read"),
    "h263_mb_info": ("none", "macroblocks of the source's coding"),
    "iamf_info_param": ("none", "parameters of immersive audio"),
    "iamf_mix_gain_param": ("none", "parameters of immersive audio"),
    "iamf_recon_gain_info_param": ("none", "parameters of immersive audio"),
    "icc_profile": ("lost", "ICC colour profile"),
    "jp_dual_mono": ("none", "dual mono of audio"),
    "lcevc": ("lost", "LCEVC enhancement layer"),
    "mastering_display_metadata": ("kept", "mastering display"),
    "matroska_block_additional": ("none", "block additions: alpha, which is decoded"),
    "metadata_update": ("lost", "metadata that changes on the way"),
    "mpegts_stream_id": ("none", "stream id of MPEG-TS"),
    "new_extradata": ("none", "decoder parameters that change on the way"),
    "palette": ("none", "palette, applied by the decoder"),
    "param_change": ("none", "parameters that change on the way"),
    "prft": ("lost", "producer reference times"),
    "quality_stats": ("none", "quality of the source's coding"),
    "replay_gain": ("none", "replay gain of audio"),
    "rtcp_sr": ("none", "reports of a network transmission"),
    "s12m_timecode": ("lost", "timecode of every frame (SMPTE ST 12-1)"),
    "skip_samples": ("none", "samples of audio to skip"),
    "spherical": ("lost", "spherical (360 degree) projection"),
    "stereo_3d": ("lost", "stereoscopic arrangement"),
    "strings_metadata": ("lost", "metadata of single packets"),
    "subtitle_position": ("none", "position of subtitles"),
    "webvtt_identifier": ("none", "identifiers of subtitles"),
    "webvtt_settings": ("none", "settings of subtitles"),
}
KINDS: Mapping[str, tuple[Handling, str]] = {**FRAMES, **PACKETS}


def side_data_losses(kinds: Collection[str], source: VideoInfo, encoding: EncoderSettings) -> tuple[str, ...]:
    """What of the side data found in the video is not kept, one line each.

    Args:
        kinds: Names as `frame_side_data` and `packet_side_data` return them.
        source: The video.
        encoding: The result's.
    """
    lines, codec = set(), source.codec
    for kind in kinds:
        if kind == "S12M_TIMECODE" and codec == "dpx":  # see timecode.breaks
            continue
        if kind == BRIGHTER and source.color.transfer == CODINGS["pq"]:  # coded as well
            continue
        handling, what = KINDS.get(kind, ("lost", f"side data of an unknown kind, {kind}"))
        if handling == "lost":
            lines.add(f"{what}: not written")
        elif handling == "sei" and not copies_sei(codec, encoding):
            lines.add(f"{what}: copied only from {', '.join(sei.SOURCES)} to {' and '.join(sei.ENCODERS)}")
        elif handling == "hevc" and not _is_hevc(codec, encoding):
            lines.add(f"{what}: copied only from hevc to libx265")
    return tuple(sorted(lines))


def side_data_kept(kinds: Collection[str], codec: str, encoding: EncoderSettings) -> tuple[str, ...]:
    """What of the side data is copied as SEI messages, in plain words."""
    copied = {"sei"} if copies_sei(codec, encoding) else set()
    copied |= {"hevc"} if _is_hevc(codec, encoding) else set()
    return tuple(sorted(KINDS[kind][1] for kind in kinds if KINDS.get(kind, ("lost", ""))[0] in copied))


def _is_hevc(codec: str, encoding: EncoderSettings) -> bool:
    return codec == "hevc" and encoding.encoder == "libx265"


def copies_sei(codec: str, encoding: EncoderSettings) -> bool:
    """Whether SEI messages move from a source's codec to an encoder's."""
    return codec in sei.SOURCES and encoding.encoder in sei.ENCODERS
