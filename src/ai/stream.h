/*
 * stream.h - what has been read of a streamed answer (stream.c gathers it, answer.c ends it).
 */
#ifndef FF_AI_STREAM_H
#define FF_AI_STREAM_H

#include "ai/wire.h"

typedef struct FfAiStream
{
	FfAiResult result;
	int		   said; /* bytes of the text that have been given as news */
	int64	   said_characters;
} FfAiStream;

#endif
