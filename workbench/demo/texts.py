"""What customers ask and what the assistant answers, by language and intent.

Every template holds ``{ref}`` once: the number of the order or ticket it is about.
"""

from __future__ import annotations

LANGUAGES = ("en", "pt-BR", "es", "de", "fr")
INTENTS = ("delivery", "refund", "login", "billing", "cancel", "bug")

QUESTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "en": {
        "delivery": (
            "Where is my order {ref}? It was due on Monday.",
            "Has {ref} been shipped yet?",
        ),
        "refund": ("I sent {ref} back two weeks ago, where is my refund?", "Please refund {ref}."),
        "login": (
            "I can't log in since this morning (case {ref}).",
            "Reset my password, case {ref}",
        ),
        "billing": ("Why was I charged twice for {ref}?", "The invoice for {ref} is wrong."),
        "cancel": ("How do I cancel {ref}?", "Please cancel {ref} before it renews."),
        "bug": ("The app crashes when I open {ref} 😡", "Export of {ref} never finishes."),
    },
    "pt-BR": {
        "delivery": ("Onde está o meu pedido {ref}?", "O pedido {ref} já foi enviado?"),
        "refund": ("Devolvi o pedido {ref}, cadê o reembolso?", "Quero o reembolso de {ref}."),
        "login": ("Não consigo entrar na conta, caso {ref}.", "Esqueci a senha, caso {ref}"),
        "billing": ("Por que {ref} foi cobrado duas vezes?", "A fatura de {ref} está errada."),
        "cancel": ("Como cancelo {ref}?", "Cancele {ref} antes da renovação, por favor."),
        "bug": ("O aplicativo fecha quando abro {ref} 😡", "A exportação de {ref} não termina."),
    },
    "es": {
        "delivery": ("¿Dónde está mi pedido {ref}?", "¿Ya enviaron el pedido {ref}?"),
        "refund": ("Devolví {ref}, ¿dónde está mi reembolso?", "Quiero el reembolso de {ref}."),
        "login": ("No puedo entrar en mi cuenta, caso {ref}.", "Olvidé mi clave, caso {ref}"),
        "billing": ("¿Por qué me cobraron {ref} dos veces?", "La factura de {ref} está mal."),
        "cancel": ("¿Cómo cancelo {ref}?", "Cancelen {ref} antes de la renovación."),
        "bug": ("La aplicación se cierra al abrir {ref} 😡", "No termina de exportar {ref}."),
    },
    "de": {
        "delivery": ("Wo bleibt meine Bestellung {ref}?", "Wurde {ref} schon verschickt?"),
        "refund": ("Ich habe {ref} zurückgeschickt, wo ist mein Geld?", "Bitte {ref} erstatten."),
        "login": ("Ich komme nicht mehr ins Konto, Fall {ref}.", "Passwort vergessen, Fall {ref}"),
        "billing": ("Warum wurde {ref} doppelt abgebucht?", "Die Rechnung zu {ref} ist falsch."),
        "cancel": ("Wie kündige ich {ref}?", "Bitte {ref} vor der Verlängerung kündigen."),
        "bug": ("Die App stürzt bei {ref} ab 😡", "Der Export von {ref} wird nie fertig."),
    },
    "fr": {
        "delivery": ("Où est ma commande {ref} ?", "La commande {ref} est-elle partie ?"),
        "refund": ("J'ai renvoyé {ref}, où est mon argent ?", "Merci de rembourser {ref}."),
        "login": ("Je ne peux plus me connecter, dossier {ref}.", "Mot de passe oublié, {ref}"),
        "billing": ("Pourquoi {ref} a été débité deux fois ?", "La facture {ref} est fausse."),
        "cancel": ("Comment résilier {ref} ?", "Merci de résilier {ref} avant l'échéance."),
        "bug": ("L'application plante quand j'ouvre {ref} 😡", "L'export de {ref} ne finit pas."),
    },
}

# What a customer asks after the first answer of a conversation.
FOLLOW_UPS: dict[str, tuple[str, str]] = {
    "en": ("That did not help. What about {ref}?", "And how long will that take for {ref}?"),
    "pt-BR": ("Isso não ajudou. E quanto a {ref}?", "E quanto tempo isso leva para {ref}?"),
    "es": ("Eso no me sirve. ¿Qué pasa con {ref}?", "¿Y cuánto tarda eso para {ref}?"),
    "de": ("Das hilft nicht. Was ist mit {ref}?", "Und wie lange dauert das bei {ref}?"),
    "fr": ("Cela n'aide pas. Et {ref} ?", "Et combien de temps pour {ref} ?"),
}

ANSWERS: dict[str, dict[str, str]] = {
    "en": {
        "delivery": "{ref} left our warehouse and should reach you within two working days.",
        "refund": "The refund for {ref} was approved; your bank shows it in 3 to 5 days.",
        "login": "I have sent you a link to set a new password. Your case is {ref}.",
        "billing": "One of the two charges for {ref} is a reservation and will drop off by itself.",
        "cancel": 'Open Settings, then Plan, choose {ref} and press "Cancel plan".',
        "bug": "Please update the app and clear its cache; that fixes {ref} in most cases.",
    },
    "pt-BR": {
        "delivery": "{ref} saiu do nosso depósito e chega em até dois dias úteis.",
        "refund": "O reembolso de {ref} foi aprovado e aparece em 3 a 5 dias.",
        "login": "Enviei um link para criar uma nova senha. Seu caso é {ref}.",
        "billing": "Uma das cobranças de {ref} é uma reserva e será estornada sozinha.",
        "cancel": 'Abra Configurações, depois Plano, escolha {ref} e toque em "Cancelar".',
        "bug": "Atualize o aplicativo e limpe o cache; isso costuma resolver {ref}.",
    },
    "es": {
        "delivery": "{ref} salió de nuestro almacén y llega en dos días hábiles.",
        "refund": "El reembolso de {ref} fue aprobado; lo verá en 3 a 5 días.",
        "login": "Le envié un enlace para crear una nueva clave. Su caso es {ref}.",
        "billing": "Uno de los cargos de {ref} es una reserva y desaparecerá solo.",
        "cancel": 'Abra Ajustes, luego Plan, elija {ref} y pulse "Cancelar".',
        "bug": "Actualice la aplicación y borre la caché; suele resolver {ref}.",
    },
    "de": {
        "delivery": "{ref} hat unser Lager verlassen und kommt in zwei Werktagen an.",
        "refund": "Die Erstattung zu {ref} ist bewilligt und in 3 bis 5 Tagen sichtbar.",
        "login": "Ich habe Ihnen einen Link für ein neues Passwort geschickt. Ihr Fall: {ref}.",
        "billing": "Eine der Buchungen zu {ref} ist nur vorgemerkt und verfällt von selbst.",
        "cancel": "Einstellungen öffnen, dann Tarif, {ref} wählen und „Kündigen“ drücken.",
        "bug": "Bitte App aktualisieren und Cache leeren; das hilft bei {ref} meistens.",
    },
    "fr": {
        "delivery": "{ref} a quitté notre entrepôt et arrive sous deux jours ouvrés.",
        "refund": "Le remboursement de {ref} est accepté, visible sous 3 à 5 jours.",
        "login": "Je vous ai envoyé un lien pour un nouveau mot de passe, dossier {ref}.",
        "billing": "Un des débits de {ref} est une réserve qui s'annulera toute seule.",
        "cancel": "Ouvrez Réglages, puis Forfait, choisissez {ref} et « Résilier ».",
        "bug": "Mettez l'application à jour et videz le cache ; cela corrige souvent {ref}.",
    },
}

OUTAGE: dict[str, str] = {
    "en": "Sorry, I could not look up {ref} right now. Please try again later.",
    "pt-BR": "Desculpe, não consegui consultar {ref} agora. Tente mais tarde.",
    "es": "Lo siento, no pude consultar {ref} ahora. Inténtelo más tarde.",
    "de": "Leider konnte ich {ref} gerade nicht abrufen. Bitte später erneut versuchen.",
    "fr": "Désolé, je n'ai pas pu consulter {ref}. Réessayez plus tard.",
}

CORRECTIONS: dict[str, str] = {
    "en": "I checked {ref} by hand and fixed it for you; nothing else is needed.",
    "pt-BR": "Verifiquei {ref} manualmente e já corrigi; não precisa fazer mais nada.",
    "es": "Revisé {ref} a mano y ya está corregido; no hace falta nada más.",
    "de": "Ich habe {ref} von Hand geprüft und berichtigt; Sie müssen nichts weiter tun.",
    "fr": "J'ai vérifié {ref} à la main et c'est corrigé ; rien d'autre à faire.",
}

# One for an answer that did not help, one for an answer that did.
COMMENTS: dict[str, tuple[str, str]] = {
    "en": ('It said "two working days" for {ref}. That was a week ago.', "Solved {ref}, thanks 👍"),
    "pt-BR": ("Não resolveu {ref}, quero falar com uma pessoa.", "Resolveu {ref}, obrigada 👍"),
    "es": ("No resolvió {ref}, quiero hablar con alguien.", "Resolvió {ref}, gracias 👍"),
    "de": ("{ref} ist immer noch nicht gelöst.", "{ref} ist erledigt, danke 👍"),
    "fr": ("{ref} n'est toujours pas réglé.", "{ref} est réglé, merci 👍"),
}
