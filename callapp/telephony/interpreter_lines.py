"""What Twilio reads out around an interpreted call, in each language that may be spoken. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """One language's.

    Args:
        tag: the language as ``<Say>`` takes it.
        notice: before the two are connected.
        parting: once they are no longer, whatever the reason.
    """

    tag: str
    notice: str
    parting: str


_LINES = {
    "de": Lines(
        "de-DE",
        "Eine künstliche Intelligenz dolmetscht dieses Gespräch. Bitte sprechen Sie in kurzen Sätzen.",
        "Die Verbindung mit der anderen Person ist beendet. Auf Wiederhören.",
    ),
    "en": Lines(
        "en-US",
        "This call is interpreted by an artificial intelligence. Please speak in short sentences.",
        "You are no longer connected with the other person. Goodbye.",
    ),
    "es": Lines(
        "es-ES",
        "Una inteligencia artificial interpreta esta llamada. Por favor, hable con frases cortas.",
        "La conexión con la otra persona ha terminado. Adiós.",
    ),
    "fr": Lines(
        "fr-FR",
        "Cet appel est interprété par une intelligence artificielle. Merci de parler par phrases courtes.",
        "La communication avec l'autre personne est terminée. Au revoir.",
    ),
    "hi": Lines(
        "hi-IN",
        "इस कॉल का अनुवाद कृत्रिम बुद्धिमत्ता कर रही है। कृपया छोटे वाक्यों में बोलें।",
        "दूसरे व्यक्ति से संपर्क समाप्त हो गया है। धन्यवाद।",
    ),
    "id": Lines(
        "id-ID",
        "Panggilan ini diterjemahkan oleh kecerdasan buatan. Silakan berbicara dengan kalimat pendek.",
        "Sambungan dengan lawan bicara Anda telah berakhir. Sampai jumpa.",
    ),
    "it": Lines(
        "it-IT",
        "Questa chiamata è interpretata da un'intelligenza artificiale. Parli con frasi brevi, per favore.",
        "Il collegamento con l'altra persona è terminato. Arrivederci.",
    ),
    "ja": Lines(
        "ja-JP",
        "この通話は、人工知能が通訳いたします。短い文で、お話しください。",
        "相手の方との接続が終了しました。ご利用ありがとうございました。",
    ),
    "ko": Lines(
        "ko-KR",
        "이 통화는 인공지능이 통역합니다. 짧은 문장으로 말씀해 주세요.",
        "상대방과의 연결이 종료되었습니다. 이용해 주셔서 감사합니다.",
    ),
    "pt": Lines(
        "pt-BR",
        "Esta chamada é interpretada por uma inteligência artificial. Por favor, fale em frases curtas.",
        "A ligação com a outra pessoa terminou. Até logo.",
    ),
    "ru": Lines(
        "ru-RU",
        "Этот разговор переводит искусственный интеллект. Пожалуйста, говорите короткими фразами.",
        "Соединение с собеседником завершено. До свидания.",
    ),
    "vi": Lines(
        "vi-VN",
        "Cuộc gọi này được trí tuệ nhân tạo phiên dịch. Xin hãy nói bằng những câu ngắn.",
        "Kết nối với người kia đã kết thúc. Xin tạm biệt.",
    ),
    "zh": Lines(
        "zh-CN",
        "本次通话由人工智能翻译。请用简短的句子说话。",
        "您与对方的通话已结束。再见。",
    ),
}


def lines(language: str) -> Lines:
    """The lines in a language, by its code; in English if there are none."""
    return _LINES.get(language, _LINES["en"])
