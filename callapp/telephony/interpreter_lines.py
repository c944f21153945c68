"""What Twilio reads out around an interpreted call, in each language that may be spoken. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from callapp.conversation.languages import english_name


@dataclass(frozen=True)
class Lines:
    """One language's.

    Args:
        tag: the language as ``<Say>`` takes it.
        notice: before the two are connected.
        parting: once they are no longer, whatever the reason.
        choose: how to choose the language, ``{key}`` to be put in.
        whom: asks for the number of the other.
        wrong: that number was no good.
    """

    tag: str
    notice: str
    parting: str
    choose: str
    whom: str
    wrong: str


_LINES = {
    "de": Lines(
        "de-DE",
        "Eine künstliche Intelligenz dolmetscht dieses Gespräch. Bitte sprechen Sie in kurzen Sätzen.",
        "Die Verbindung mit der anderen Person ist beendet. Auf Wiederhören.",
        "Für Deutsch drücken Sie die {key}.",
        "Wen möchten Sie anrufen? Bitte die Nummer mit Landesvorwahl, und zum Schluss die Rautetaste.",
        "Diese Nummer kann nicht angerufen werden.",
    ),
    "en": Lines(
        "en-US",
        "This call is interpreted by an artificial intelligence. Please speak in short sentences.",
        "You are no longer connected with the other person. Goodbye.",
        "For English, press {key}.",
        "Whom would you like to call? Enter the number with its country code, then press the pound key.",
        "That number cannot be called.",
    ),
    "es": Lines(
        "es-ES",
        "Una inteligencia artificial interpreta esta llamada. Por favor, hable con frases cortas.",
        "La conexión con la otra persona ha terminado. Adiós.",
        "Para español, pulse {key}.",
        "¿A quién desea llamar? Marque el número con el prefijo del país y pulse la tecla almohadilla.",
        "No se puede llamar a ese número.",
    ),
    "fr": Lines(
        "fr-FR",
        "Cet appel est interprété par une intelligence artificielle. Merci de parler par phrases courtes.",
        "La communication avec l'autre personne est terminée. Au revoir.",
        "Pour le français, appuyez sur {key}.",
        "Qui souhaitez-vous appeler ? Composez le numéro avec l'indicatif du pays, puis la touche dièse.",
        "Ce numéro ne peut pas être appelé.",
    ),
    "hi": Lines(
        "hi-IN",
        "इस कॉल का अनुवाद कृत्रिम बुद्धिमत्ता कर रही है। कृपया छोटे वाक्यों में बोलें।",
        "दूसरे व्यक्ति से संपर्क समाप्त हो गया है। धन्यवाद।",
        "हिन्दी के लिए {key} दबाएँ।",
        "आप किसे कॉल करना चाहते हैं? देश के कोड के साथ नंबर डालें, फिर हैश दबाएँ।",
        "इस नंबर पर कॉल नहीं की जा सकती।",
    ),
    "id": Lines(
        "id-ID",
        "Panggilan ini diterjemahkan oleh kecerdasan buatan. Silakan berbicara dengan kalimat pendek.",
        "Sambungan dengan lawan bicara Anda telah berakhir. Sampai jumpa.",
        "Untuk bahasa Indonesia, tekan {key}.",
        "Siapa yang ingin Anda hubungi? Masukkan nomor dengan kode negara, lalu tekan tanda pagar.",
        "Nomor itu tidak dapat dihubungi.",
    ),
    "it": Lines(
        "it-IT",
        "Questa chiamata è interpretata da un'intelligenza artificiale. Parli con frasi brevi, per favore.",
        "Il collegamento con l'altra persona è terminato. Arrivederci.",
        "Per l'italiano, prema {key}.",
        "Chi desidera chiamare? Inserisca il numero con il prefisso del paese, poi il cancelletto.",
        "Questo numero non può essere chiamato.",
    ),
    "ja": Lines(
        "ja-JP",
        "この通話は、人工知能が通訳いたします。短い文で、お話しください。",
        "相手の方との接続が終了しました。ご利用ありがとうございました。",
        "日本語は、{key}を押してください。",
        "おかけになる電話番号を、国番号から押し、最後にシャープを押してください。",
        "その番号には、おかけになれません。",
    ),
    "ko": Lines(
        "ko-KR",
        "이 통화는 인공지능이 통역합니다. 짧은 문장으로 말씀해 주세요.",
        "상대방과의 연결이 종료되었습니다. 이용해 주셔서 감사합니다.",
        "한국어는 {key}번을 눌러 주세요.",
        "국가 번호를 포함한 상대방 번호를 누른 뒤 우물정자를 눌러 주세요.",
        "그 번호로는 전화할 수 없습니다.",
    ),
    "pt": Lines(
        "pt-BR",
        "Esta chamada é interpretada por uma inteligência artificial. Por favor, fale em frases curtas.",
        "A ligação com a outra pessoa terminou. Até logo.",
        "Para português, pressione {key}.",
        "Para quem deseja ligar? Digite o número com o código do país e pressione a tecla sustenido.",
        "Não é possível ligar para esse número.",
    ),
    "ru": Lines(
        "ru-RU",
        "Этот разговор переводит искусственный интеллект. Пожалуйста, говорите короткими фразами.",
        "Соединение с собеседником завершено. До свидания.",
        "Для русского языка нажмите {key}.",
        "Кому вы хотите позвонить? Наберите номер с кодом страны и нажмите решётку.",
        "На этот номер позвонить нельзя.",
    ),
    "vi": Lines(
        "vi-VN",
        "Cuộc gọi này được trí tuệ nhân tạo phiên dịch. Xin hãy nói bằng những câu ngắn.",
        "Kết nối với người kia đã kết thúc. Xin tạm biệt.",
        "Để chọn tiếng Việt, bấm phím {key}.",
        "Bạn muốn gọi cho ai? Hãy nhập số kèm mã quốc gia, rồi bấm phím thăng.",
        "Không thể gọi số đó.",
    ),
    "zh": Lines(
        "zh-CN",
        "本次通话由人工智能翻译。请用简短的句子说话。",
        "您与对方的通话已结束。再见。",
        "中文请按{key}。",
        "请输入您要拨打的号码，包括国家代码，然后按井号键。",
        "无法拨打该号码。",
    ),
}


def lines(language: str) -> Lines:
    """The lines in a language, by its code; if there are none, in English, which calls it by its name."""
    known = _LINES.get(language)
    if known is not None:
        return known
    return replace(_LINES["en"], choose=f"For {english_name(language)}, press {{key}}.")
