"""The messages of Google's API, as tables from field name to kind.

A kind is a scalar, the name of another message, `enum:NAME`, `map:KIND`, or one of these with
`[]` behind it. `value` is any JSON. Newer clients send fields that no public proto has; those
that the service accepts are listed too.
"""

from collections.abc import Mapping
from types import MappingProxyType

_FUNCTION_DECLARATION = {
    "name": "string",
    "description": "string",
    "parameters": "Schema",
    "parametersJsonSchema": "value",
    "response": "Schema",
    "responseJsonSchema": "value",
    "behavior": "string",
}

MESSAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "GenerateContentRequest": {
            "model": "string",
            "contents": "Content[]",
            "systemInstruction": "Content",
            "tools": "Tool[]",
            "toolConfig": "ToolConfig",
            "safetySettings": "SafetySetting[]",
            "generationConfig": "GenerationConfig",
            "cachedContent": "string",
            "labels": "map:string",
            "serviceTier": "string",
            "store": "bool",
            "continuationToken": "string",
        },
        "CountTokensRequest": {
            "model": "string",
            "contents": "Content[]",
            "generateContentRequest": "GenerateContentRequest",
        },
        "CachedContent": {
            "name": "string",
            "displayName": "string",
            "model": "string",
            "systemInstruction": "Content",
            "contents": "Content[]",
            "tools": "Tool[]",
            "toolConfig": "ToolConfig",
            "createTime": "timestamp",
            "updateTime": "timestamp",
            "usageMetadata": "value",
            "expireTime": "timestamp",
            "ttl": "duration",
            "kmsKeyName": "string",
            "encryptionSpec": "value",
        },
        "CreateFileRequest": {"file": "File"},
        "File": {
            "name": "string",
            "displayName": "string",
            "mimeType": "string",
            "sizeBytes": "int64",
            "createTime": "timestamp",
            "updateTime": "timestamp",
            "expirationTime": "timestamp",
            "sha256Hash": "bytes",
            "uri": "string",
            "downloadUri": "string",
            "state": "string",
            "source": "string",
            "error": "value",
            "videoMetadata": "value",
        },
        "Content": {"parts": "Part[]", "role": "string"},
        "Part": {
            "text": "string",
            "inlineData": "Blob",
            "fileData": "FileData",
            "functionCall": "FunctionCall",
            "functionResponse": "FunctionResponse",
            "executableCode": "ExecutableCode",
            "codeExecutionResult": "CodeExecutionResult",
            "thought": "bool",
            "thoughtSignature": "bytes",
            "partMetadata": "struct",
            "videoMetadata": "VideoMetadata",
            "mediaResolution": "value",
            "toolCall": "value",
            "toolResponse": "value",
            "audioTranscription": "value",
            "mediaProcessing": "value",
            "speechMetadata": "value",
            "documentMetadata": "value",
            "spreadsheetMetadata": "value",
            "audioMetadata": "value",
        },
        "Blob": {"mimeType": "string", "data": "bytes", "displayName": "string"},
        "FileData": {"mimeType": "string", "fileUri": "string", "displayName": "string"},
        "FunctionCall": {"id": "string", "name": "string", "args": "struct"},
        "FunctionResponse": {
            "id": "string",
            "name": "string",
            "response": "struct",
            "parts": "value",
            "willContinue": "bool",
            "scheduling": "string",
        },
        "ExecutableCode": {"language": "string", "code": "string", "id": "string"},
        "CodeExecutionResult": {"outcome": "string", "output": "string", "id": "string"},
        "VideoMetadata": {"startOffset": "duration", "endOffset": "duration", "fps": "double"},
        "Tool": {
            "functionDeclarations": "FunctionDeclaration[]",
            "googleSearch": "value",
            "googleSearchRetrieval": "value",
            "codeExecution": "value",
            "urlContext": "value",
            "googleMaps": "value",
            "fileSearch": "value",
            "computerUse": "value",
            "mcpServers": "value",
            "retrieval": "value",
            "enterpriseWebSearch": "value",
        },
        "FunctionDeclaration": _FUNCTION_DECLARATION,
        "Schema": {
            "type": "string",
            "format": "string",
            "title": "string",
            "description": "string",
            "nullable": "bool",
            "enum": "string[]",
            "items": "Schema",
            "minItems": "int64",
            "maxItems": "int64",
            "minLength": "int64",
            "maxLength": "int64",
            "minProperties": "int64",
            "maxProperties": "int64",
            "properties": "map:Schema",
            "required": "string[]",
            "minimum": "double",
            "maximum": "double",
            "pattern": "string",
            "example": "value",
            "anyOf": "Schema[]",
            "propertyOrdering": "string[]",
            "default": "value",
        },
        "ToolConfig": {
            "functionCallingConfig": "FunctionCallingConfig",
            "retrievalConfig": "RetrievalConfig",
            "includeServerSideToolInvocations": "bool",
        },
        "FunctionCallingConfig": {
            "mode": "enum:FunctionCallingConfig.Mode",
            "allowedFunctionNames": "string[]",
            "streamFunctionCallArguments": "bool",
        },
        "RetrievalConfig": {"latLng": "LatLng", "languageCode": "string"},
        "LatLng": {"latitude": "double", "longitude": "double"},
        "SafetySetting": {
            "category": "enum:HarmCategory",
            "threshold": "enum:SafetySetting.HarmBlockThreshold",
            "method": "string",
        },
        "GenerationConfig": {
            "candidateCount": "int32",
            "stopSequences": "string[]",
            "maxOutputTokens": "int32",
            "temperature": "float",
            "topP": "float",
            "topK": "float",
            "seed": "int32",
            "responseMimeType": "string",
            "responseSchema": "Schema",
            "responseJsonSchema": "value",
            "responseFormat": "value",
            "presencePenalty": "float",
            "frequencyPenalty": "float",
            "responseLogprobs": "bool",
            "logprobs": "int32",
            "enableEnhancedCivicAnswers": "bool",
            "responseModalities": "string[]",
            "speechConfig": "SpeechConfig",
            "thinkingConfig": "ThinkingConfig",
            "imageConfig": "ImageConfig",
            "mediaResolution": "string",
            "audioTimestamp": "bool",
            "audioTranscriptionConfig": "value",
            "routingConfig": "value",
            "modelSelectionConfig": "value",
        },
        "ThinkingConfig": {
            "includeThoughts": "bool",
            "thinkingBudget": "int32",
            "thinkingLevel": "enum:ThinkingConfig.ThinkingLevel",
        },
        "ImageConfig": {"aspectRatio": "string", "imageSize": "string"},
        "SpeechConfig": {
            "voiceConfig": "VoiceConfig",
            "multiSpeakerVoiceConfig": "MultiSpeakerVoiceConfig",
            "languageCode": "string",
        },
        "VoiceConfig": {"prebuiltVoiceConfig": "PrebuiltVoiceConfig"},
        "PrebuiltVoiceConfig": {"voiceName": "string"},
        "MultiSpeakerVoiceConfig": {"speakerVoiceConfigs": "SpeakerVoiceConfig[]"},
        "SpeakerVoiceConfig": {"speaker": "string", "voiceConfig": "VoiceConfig"},
    }
)

_HARMS = (
    "HARASSMENT",
    "HATE_SPEECH",
    "SEXUALLY_EXPLICIT",
    "DANGEROUS_CONTENT",
    "CIVIC_INTEGRITY",
    "JAILBREAK",
    "IMAGE_HATE",
    "IMAGE_DANGEROUS_CONTENT",
    "IMAGE_HARASSMENT",
    "IMAGE_SEXUALLY_EXPLICIT",
    "UNSPECIFIED",
)

ENUMS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "FunctionCallingConfig.Mode": frozenset(
            {"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"}
        ),
        "HarmCategory": frozenset(f"HARM_CATEGORY_{harm}" for harm in _HARMS),
        "SafetySetting.HarmBlockThreshold": frozenset(
            {
                "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
                "BLOCK_LOW_AND_ABOVE",
                "BLOCK_MEDIUM_AND_ABOVE",
                "BLOCK_ONLY_HIGH",
                "BLOCK_NONE",
                "OFF",
            }
        ),
        "ThinkingConfig.ThinkingLevel": frozenset(
            {"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"}
        ),
    }
)

ONEOFS: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Part": {
            "data": frozenset(
                {
                    "text",
                    "inlineData",
                    "fileData",
                    "functionCall",
                    "functionResponse",
                    "executableCode",
                    "codeExecutionResult",
                }
            )
        },
        "CachedContent": {"expiration": frozenset({"ttl", "expireTime"})},
    }
)
