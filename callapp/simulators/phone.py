"""A pretend Twilio, for calls without an account: its REST API, TwiML, and phones that are heard.

    with Carrier() as carrier:                       # TWILIO_API_URL = carrier.url
        carrier.next_callee(Callee([HearPause(), Say(clip("caller-order")), WaitForEnd()]))
        ...                                          # the application dials
        call = carrier.wait_for_call(timeout=5)
        call.wait_ended(timeout=30)
        assert not call.violations and not call.faults and not call.callee.failure

How the parts stand on each other, lowest first, all but the sockets without I/O:

    sound, clips     mu-law, loudness, WAV; the recordings that come with callapp
    playout          the play-out clock: what is heard when
    callee           the person who listens and speaks
    answering_machine, machine_detection             machines that pick up, and the ear that finds out
    phone_stream     one Media Stream: messages in, messages out, all of it kept
    phone_listening  one that only listens
    phone_socket     the socket under it, and its time
    twiml_reader, twiml_runner, webhooks, reporter   what Twilio does around a stream
    room                                             phones that hear one another
    keypad, ivr                                      keys heard as tones; a machine that reads out menus
    phone_record, phone_call                         one call
    carrier_api, carrier_account, carrier_recordings, carrier_rest, carrier
                     the customer, the REST API and the whole
"""

from callapp.simulators.answering_machine import AnsweringMachine, CallScreener
from callapp.simulators.callee import (
    Callee,
    HangUp,
    Hear,
    HearPause,
    Pause,
    Press,
    Say,
    Spoken,
    Step,
    WaitForEnd,
)
from callapp.simulators.carrier import Carrier
from callapp.simulators.carrier_account import OwnNumber
from callapp.simulators.carrier_rest import RestRequest
from callapp.simulators.clips import Clip, clip, load_clips
from callapp.simulators.ivr import Ivr, Menu
from callapp.simulators.phone_call import Call
from callapp.simulators.phone_record import CallRecord, Fault, Said
from callapp.simulators.phone_stream import PhoneStream
from callapp.simulators.playout import Playout

__all__ = [
    "AnsweringMachine",
    "Call",
    "CallRecord",
    "CallScreener",
    "Callee",
    "Carrier",
    "Clip",
    "Fault",
    "HangUp",
    "Hear",
    "HearPause",
    "Ivr",
    "Menu",
    "OwnNumber",
    "Pause",
    "PhoneStream",
    "Playout",
    "Press",
    "RestRequest",
    "Said",
    "Say",
    "Spoken",
    "Step",
    "WaitForEnd",
    "clip",
    "load_clips",
]
